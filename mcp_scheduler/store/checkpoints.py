"""Keeps the log short. Only the writer's thread checkpoints: no checkpoint ever runs beside a commit.

PASSIVE moves the log into the database and waits for nobody; the next commit then begins the log anew, in the same
file. TRUNCATE gives its space back, and makes the next commits dearer: for idle times, and when the file is too long.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from mcp_scheduler.store.opening import BUSY_MS, WAL_LIMIT
from mcp_scheduler.store.transaction import raw

LOG: Final = logging.getLogger(__name__)
COMMITS: Final = 200
PAGES: Final = 1024  # 4 MiB
PATIENCE_MS: Final = 100  # how long TRUNCATE waits for readers, and every commit behind it for TRUNCATE
FREE_PAGES: Final = 1_000  # given back to the file system in one go: as many at most come into the log


class Checkpoints:
    """When and how. SQLite does not tell the length of the log at a commit: it is estimated from the rows written, with
    the pages per row that the last checkpoint found."""

    def __init__(self, connection: Connection, path: Path) -> None:
        self._connection = connection
        self._wal = path.with_name(f"{path.name}-wal")
        self._commits = 0
        self._rows = 0
        self._pages_per_row = 0.5

    def committed(self, rows: int, size: int) -> bool:
        """Counts a commit of `rows` rows and `size` bytes of content; whether a checkpoint is due."""
        self._commits += 1
        self._rows += rows + size // 2048
        return self._commits >= COMMITS or self._rows * self._pages_per_row >= PAGES

    def passive(self) -> None:
        """Raises nothing: what is committed stays in the log, and the next checkpoint tries again."""
        try:
            _, pages, moved = self._checkpoint("PASSIVE")
            if self._rows >= COMMITS:
                self._pages_per_row = min(max(pages / self._rows, 0.05), 10.0)
            self._commits = self._rows = 0
            if pages != moved:
                LOG.debug("A reader keeps %d pages of %s from being moved.", pages - moved, self._wal)
            if self._wal.stat().st_size > WAL_LIMIT:
                self._waiting_for_readers("TRUNCATE")
            elif pages > PAGES * 5 // 4:  # readers kept the log from being begun anew: twice, and it is twice as long
                self._waiting_for_readers("RESTART")
        except (DBAPIError, OSError) as error:
            LOG.warning("Checkpoint of %s failed, to be tried again: %s", self._wal, error)

    def idle(self) -> bool:
        """Moves everything, gives back some of the database's free pages and the log's space; whether it pays to do
        so again: some were given back (a file of another making has none to give), more are free, and no reader keeps
        the log long."""
        before = self._free_pages()
        # It frees a page at each step, with rows of no columns: only a script is stepped to its end.
        raw(self._connection).executescript(f"PRAGMA incremental_vacuum({FREE_PAGES})")
        is_short = self._waiting_for_readers("TRUNCATE")
        return is_short and 0 < self._free_pages() < before

    def _free_pages(self) -> int:
        return int(self._connection.exec_driver_sql("PRAGMA freelist_count").scalar_one())

    def _waiting_for_readers(self, kind: str) -> bool:
        """Whether they have let go in time."""
        self._connection.exec_driver_sql(f"PRAGMA busy_timeout = {PATIENCE_MS}")
        try:
            return self._checkpoint(kind)[0] == 0
        finally:
            self._connection.exec_driver_sql(f"PRAGMA busy_timeout = {BUSY_MS}")

    def _checkpoint(self, kind: str) -> tuple[int, int, int]:
        busy, pages, moved = self._connection.exec_driver_sql(f"PRAGMA wal_checkpoint({kind})").one()
        return busy, pages, moved
