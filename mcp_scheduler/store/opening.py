"""From a path to a connection on a database that is whole, ours and of the newest version; or a clear error.

A new database is made beside its place and then moved there: so a file that is empty or has lost its head is damage,
never a beginning. The mode is 0600; -wal and -shm take it over.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, create_engine, select, update
from sqlalchemy.pool import NullPool

from mcp_scheduler.errors import StoreDamaged
from mcp_scheduler.sdk.durable import sync_folder
from mcp_scheduler.store.migrations import migrate, refuse_newer
from mcp_scheduler.store.schema import APPLICATION_ID, meta
from mcp_scheduler.store.transaction import transaction

MIB: Final = 1024 * 1024
QUICK_CHECK_BELOW: Final = 200 * MIB  # a larger file would make the start wait for seconds
WAL_LIMIT: Final = 8 * MIB
BUSY_MS: Final = 10_000
PREPARED: Final = 512  # statements the driver keeps: every shape and size of `block`

SAFE_PRAGMAS: Final = ("mmap_size = 0", "trusted_schema = OFF", f"busy_timeout = {BUSY_MS}")
_WRITER_PRAGMAS: Final = (
    "auto_vacuum = INCREMENTAL",  # takes effect on a new file only
    "journal_mode = WAL",
    "synchronous = FULL",
    "wal_autocheckpoint = 0",
    f"journal_size_limit = {WAL_LIMIT}",
    "secure_delete = FAST",  # some builds would write zeros over every page that is given up, through the log
    "cache_size = -16384",  # KiB
)
_MAC_PRAGMAS: Final = ("fullfsync = ON", "checkpoint_fullfsync = ON")


def open_database(path: Path) -> tuple[Connection, bool]:
    """The writer's connection, and whether the last engine closed the store in order (a new one counts as such)."""
    _make_room(path)
    clean = _inspect(path)
    connection = _connect(path)
    try:
        _prepare(connection)  # from here on the file may change
        migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection, clean


def _inspect(path: Path) -> bool:
    """Whether the store was closed in order. On a connection that cannot write: closing one that can would move the log
    into a file which is then refused."""
    connection = _connect(path, read_only=True)
    try:
        _recognise(connection, path)
        refuse_newer(connection, path)
        clean = _was_clean(connection)
        if not clean:
            _examine(connection, path)
        return clean
    finally:
        connection.close()


def mark_clean(connection: Connection, *, clean: bool) -> None:
    connection.execute(update(meta).where(meta.c.name == "clean").values(value=int(clean)))


def _make_room(path: Path) -> None:
    """There is a file at `path` afterwards."""
    if path.exists():
        if path.stat().st_size == 0:
            raise StoreDamaged(f"The database file {path} is empty.", path=str(path))
        return
    wal = path.with_name(f"{path.name}-wal")
    if wal.exists() and wal.stat().st_size > 0:
        raise StoreDamaged(f"The database file {path} is gone, but its log {wal.name} is still there.", path=str(path))
    new = path.with_name(f"{path.name}.new")
    for leftover in (new, new.with_name(f"{new.name}-wal"), new.with_name(f"{new.name}-shm")):
        leftover.unlink(missing_ok=True)
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # before SQLite holds any lock on it
    connection = _connect(new)
    try:
        _prepare(connection)
        migrate(connection, new)
        # Closing would do it, too, and say nothing if it could not: then a file without tables would get the name.
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
    new.replace(path)
    sync_folder(path.parent)
    sync_folder(path.parent.parent)  # the home may be as new as the file


def _connect(path: Path, *, read_only: bool = False) -> Connection:
    place = f"{path.resolve().as_uri()}?mode={'ro' if read_only else 'rw'}"

    def driver() -> sqlite3.Connection:
        # Used by one thread at a time, and not always the same: see `spot`.
        return sqlite3.connect(
            place, uri=True, isolation_level=None, cached_statements=PREPARED, check_same_thread=False
        )

    engine = create_engine("sqlite+pysqlite://", creator=driver, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    connection = engine.connect()
    try:
        _set(connection, SAFE_PRAGMAS)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: Connection) -> None:
    _set(connection, _WRITER_PRAGMAS)
    if sys.platform == "darwin":
        _set(connection, _MAC_PRAGMAS)


def _set(connection: Connection, pragmas: Sequence[str]) -> None:
    for pragma in pragmas:
        connection.exec_driver_sql(f"PRAGMA {pragma}")


def _recognise(connection: Connection, path: Path) -> None:
    found = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
    if found != APPLICATION_ID:
        raise StoreDamaged(f"The file {path} is no database of mcp-scheduler.", path=str(path))


def _was_clean(connection: Connection) -> bool:
    return bool(connection.execute(select(meta.c.value).where(meta.c.name == "clean")).scalar_one())


def _examine(connection: Connection, path: Path) -> None:
    if path.stat().st_size >= QUICK_CHECK_BELOW:
        return
    found = connection.exec_driver_sql("PRAGMA quick_check(3)").scalars().all()
    if found != ["ok"]:
        raise StoreDamaged(f"The database file {path} is damaged: {'; '.join(map(str, found))}.", path=str(path))


def begin_session(connection: Connection) -> None:
    """From now on, until `mark_clean`, a start finds an engine that did not end in order."""
    with transaction(connection):
        mark_clean(connection, clean=False)
