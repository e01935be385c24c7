"""Files of large results that no task has: beaten copies, attempts that were repeated, engines that died, and pruning
left them.

A result lies in a file named by its content before its end is reported, and who returns the same content uses the same
file. So one that no task names may be about to be named: it goes only while nothing is under way, in one step with the
look at that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import Final

from mcp_scheduler.core.changes import Changes
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.task import Kind
from mcp_scheduler.errors import SchedulerError
from mcp_scheduler.ports import Outputs, Store

log = logging.getLogger("mcp_scheduler.leavings")

_EVERY: Final = 60.0  # seconds until a store that could not be read is asked again
_AT_ONCE: Final = 500  # files that the store is asked for


class Leavings:
    """Every file there is when the engine starts, and from then on those that beaten copies leave."""

    def __init__(self, cluster: Cluster, store: Store, outputs: Outputs) -> None:
        self._cluster = cluster
        self._store = store
        self._outputs = outputs
        self._files: dict[str, None] = {}
        self._turn = asyncio.Event()

    def committed(self, changes: Changes) -> None:
        """Know what was left; and that nothing is under way any more."""
        self.add(changes.leavings)

    def add(self, files: Iterable[str]) -> None:
        """Look at these, too, as soon as nothing is under way."""
        self._files.update(dict.fromkeys(files))
        if self._files and self._is_idle():
            self._turn.set()

    async def run(self) -> None:
        self._files.update(dict.fromkeys(await self._outputs.files()))
        while True:
            try:
                await self.clear()
            except SchedulerError as error:
                log.warning("Results that nobody has could not be told from others: %s", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_EVERY):
                    await self._turn.wait()

    async def clear(self) -> int:
        """Remove those that no task names, as far as nothing is under way; how many."""
        self._turn.clear()
        removed = 0
        waiting = list(self._files)
        for start in range(0, len(waiting), _AT_ONCE):
            files = waiting[start : start + _AT_ONCE]
            if not self._is_idle():
                break
            named = await self._store.named_results(files)
            for file in files:
                if file not in named:
                    if not self._is_idle():  # while the store was asked something has begun
                        return removed
                    self._outputs.discard(file)
                    removed += 1
                del self._files[file]
        return removed

    def _is_idle(self) -> bool:
        """Whether nothing runs that could return anything."""
        tasks = self._cluster.tasks
        return all(tasks[attempt.task].terms.kind is Kind.LEASE for attempt in self._cluster.attempts)
