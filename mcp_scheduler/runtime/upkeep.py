"""What has to be done now and then: pruning what is old, with its files."""

from __future__ import annotations

import asyncio
import logging

from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.errors import SchedulerError
from mcp_scheduler.ports import Clock, Inputs, Outputs, Store
from mcp_scheduler.settings import Queue

log = logging.getLogger("mcp_scheduler.upkeep")

_EVERY = 60.0  # seconds
_DAY = 86400.0
_BATCH = 500


class Upkeep:
    """Runs beside the loop. What fails is tried again the next time."""

    def __init__(
        self, cluster: Cluster, store: Store, outputs: Outputs, inputs: Inputs, clock: Clock, limits: Queue
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._outputs = outputs
        self._inputs = inputs
        self._clock = clock
        self._limits = limits

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            try:
                await self.prune()
            except SchedulerError as error:
                log.warning("Nothing could be pruned: %s", error)

    async def prune(self) -> int:
        """Remove finished tasks past their time, rows first, then files; how many."""
        total = 0
        while True:
            before = self._clock.now() - self._limits.keep_days * _DAY
            pruned = await self._store.prune(ended_before=before, keep=self._limits.keep_tasks, limit=_BATCH)
            self._cluster.pruned(pruned.tasks, pruned.states)
            if pruned.tasks or pruned.result_files:
                await self._outputs.remove(pruned)
                self._inputs.release(pruned.tasks)
            total += len(pruned.tasks)
            if len(pruned.tasks) < _BATCH:
                return total
