"""The durable store: one SQLite file, one thread that writes, a few connections that read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mcp_scheduler.core.changes import Changes, Remembered
from mcp_scheduler.core.events import Group, Origin
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Task
from mcp_scheduler.errors import StoreUnavailable
from mcp_scheduler.ports import AttemptRow, Boot, Pruned, Result, TaskQuery
from mcp_scheduler.store.migrations import MIGRATIONS
from mcp_scheduler.store.pruning import NOTE, noted
from mcp_scheduler.store.reads import Reads
from mcp_scheduler.store.spot import Spot
from mcp_scheduler.store.terms import TermsBook
from mcp_scheduler.store.thread import WriterThread
from mcp_scheduler.store.transaction import LockHeld
from mcp_scheduler.store.writer import Writer


class SqliteStore:
    """`ports.Store` in the file `path`, whose folder exists. The process must not open the file by any other means,
    and must never fork while the store is open: both break SQLite's locks.

    With a `spot` the event loop writes a commit itself where that is the shorter way. `open` raises `NewerSchema` or
    `StoreDamaged` where it must not go on; the file is then as it was.
    """

    schema: int = len(MIGRATIONS)

    def __init__(self, path: Path | str, spot: Spot | None = None) -> None:
        self._path = Path(path)
        self._spot = spot
        self._book = TermsBook()
        self._writer = Writer(self._path, self._book)
        self._thread: WriterThread | None = None
        self._reads: Reads | None = None

    async def open(self) -> Boot:
        if self._thread is not None:
            raise StoreUnavailable(f"The database {self._path} is open already.")
        thread = self._thread = WriterThread()
        try:
            found = await thread.run(self._writer.open)
        except BaseException:
            await self.close()
            raise
        self._reads = Reads(self._path, self._book)
        return found

    async def commit(self, changes: Changes) -> None:
        if not changes:
            return
        thread, spot = self._running(), self._spot
        if spot is None:
            due = await thread.run(self._writer.commit, changes)
        elif thread.is_idle and spot.takes(changes) and (written := self._written_at_once(changes)) is not None:
            due = written
        else:
            with spot.watched():
                due = await thread.run(self._writer.commit, changes)
        if due:
            thread.follow(self._writer.checkpoint_passive)

    def _written_at_once(self, changes: Changes) -> bool | None:
        """Whether a checkpoint is due. Where another program holds the file's lock nothing is written: None. Only the
        thread can wait for it."""
        try:
            return self._writer.commit(changes, patient=False)
        except LockHeld:
            return None

    async def named_results(self, files: Sequence[str]) -> set[str]:
        return await self._reading().named_results(files)

    async def set_setting(self, name: str, value: str) -> None:
        await self._running().run(self._writer.set_setting, name, value)

    async def forecasts(self) -> dict[str, str]:
        return await self._reading().forecasts()

    async def keep_forecasts(self, rows: Mapping[str, str | None]) -> None:
        await self._running().run(self._writer.keep_forecasts, rows)

    async def prune(self, *, ended_before: float, keep: int, limit: int = 500) -> Pruned:
        """One batch: removes at most `limit` tasks and as many remembered requests. Call it again while it removes."""
        thread = self._running()
        pruned = await thread.run(self._writer.prune, ended_before=ended_before, keep=keep, limit=limit)
        if pruned.tasks:  # it writes as many pages as thousands of commits
            thread.follow(self._writer.checkpoint_passive)
        return pruned

    async def pruned(self) -> Pruned:
        return noted(await self._reading().setting(NOTE))

    async def forget_pruned(self) -> None:
        await self.set_setting(NOTE, "")

    async def checkpoint(self) -> None:
        """Moves the log into the database. As long as nothing waits to be written, gives space back, too."""
        thread = self._running()

        def work() -> None:
            self._writer.checkpoint_passive()
            while not thread.busy and self._writer.checkpoint_idle():
                pass

        await thread.run(work)

    async def close(self) -> None:
        """Closes in order: the next `open` finds it clean. A second time it does nothing."""
        thread, reads = self._thread, self._reads
        self._thread = self._reads = None
        try:
            if reads is not None:
                await reads.close()
        finally:
            if thread is not None:
                try:
                    await thread.run(self._writer.close)
                finally:
                    thread.end()

    async def tasks(self, ids: Sequence[str]) -> dict[str, Task]:
        return await self._reading().tasks(ids)

    async def payloads(self, ids: Sequence[str]) -> dict[str, bytes]:
        return await self._reading().payloads(ids)

    async def results(self, ids: Sequence[str]) -> dict[str, Result]:
        return await self._reading().results(ids)

    async def attempts(self, ids: Sequence[str]) -> dict[str, list[AttemptRow]]:
        return await self._reading().attempts(ids)

    async def find(self, query: TaskQuery) -> list[Task]:
        return await self._reading().find(query)

    async def counts(self) -> dict[State, int]:
        return await self._reading().counts()

    async def group(self, group: str) -> Group | None:
        return await self._reading().group(group)

    async def members(self, group: str) -> list[Task]:
        return await self._reading().members(group)

    async def by_key(self, principal: str, key: str) -> Task | None:
        return await self._reading().by_key(principal, key)

    async def equal(self, fingerprints: Mapping[str, str]) -> dict[str, str]:
        return await self._reading().equal(fingerprints)

    async def remembered(self, origin: Origin) -> Remembered | None:
        return await self._reading().remembered(origin)

    async def setting(self, name: str) -> str | None:
        return await self._reading().setting(name)

    def _running(self) -> WriterThread:
        if self._thread is None:
            raise StoreUnavailable(f"The database {self._path} is not open.")
        return self._thread

    def _reading(self) -> Reads:
        if self._reads is None:
            raise StoreUnavailable(f"The database {self._path} is not open.")
        return self._reads
