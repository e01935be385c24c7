"""What has to be done now and then: pruning what is old, with its files.

Rows go first, and in the same transaction a note of what they were; then the files; then the note. So whatever dies in
between, files that nobody knows of do not stay: the next engine begins with what is noted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.errors import SchedulerError
from mcp_scheduler.ports import Clock, Inputs, Outputs, Store
from mcp_scheduler.settings import Queue

log = logging.getLogger("mcp_scheduler.upkeep")

_EVERY = 60.0  # seconds
_DAY = 86400.0
_BATCH = 500


class Upkeep:
    """Runs beside the loop. What fails is tried again the next time. `leave` is told of files of results that stay,
    because a call has just returned the same."""

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        outputs: Outputs,
        inputs: Inputs,
        clock: Clock,
        limits: Queue,
        leave: Callable[[Iterable[str]], None],
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._outputs = outputs
        self._inputs = inputs
        self._clock = clock
        self._limits = limits
        self._leave = leave

    async def run(self) -> None:
        work: Callable[[], Awaitable[int | None]] = self._clear
        while True:
            try:
                await work()
            except (SchedulerError, OSError) as error:
                log.warning("Nothing could be pruned: %s", error)
            await asyncio.sleep(_EVERY)
            work = self.prune

    async def prune(self) -> int:
        """Remove finished tasks past their time, with their files; how many. While the files of some cannot be removed,
        no more tasks are."""
        total = 0
        await self._clear()
        while True:
            before = self._clock.now() - self._limits.keep_days * _DAY
            pruned = await self._store.prune(ended_before=before, keep=self._limits.keep_tasks, limit=_BATCH)
            self._cluster.pruned(pruned.tasks, pruned.states)
            await self._clear()
            total += len(pruned.tasks)
            if len(pruned.tasks) < _BATCH:
                break
        if total and not self._cluster.attempts:  # nothing runs whose end would wait for it
            await self._store.checkpoint()
        return total

    async def _clear(self) -> None:
        """Remove the files of what was pruned. A result that another task has by now stays."""
        pruned = await self._store.pruned()
        if pruned.tasks or pruned.result_files:
            named = await self._store.named_results(pruned.result_files)
            files = tuple(file for file in pruned.result_files if file not in named)
            self._leave(await self._outputs.remove(replace(pruned, result_files=files)))
            self._inputs.release(pruned.tasks)
            await self._store.forget_pruned()
