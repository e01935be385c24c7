"""Ends that were reported, until they are durable; then whoever keeps a record of them is told that nobody needs it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.executors.local import records
from mcp_scheduler.executors.local.ends import EndsKept
from mcp_scheduler.executors.local.worker import Worker

log = logging.getLogger("mcp_scheduler.settling")

ACK_DELAY = 0.02  # seconds that "this is durable" may wait: for a frame of calls to go with, for others like it


class Settling:
    """`attempts` is the folder of records, `kept` what shims of commands keep; `spawn` runs what nobody waits for."""

    def __init__(self, attempts: Path, kept: EndsKept, spawn: Callable[[Awaitable[None]], None]) -> None:
        self._attempts, self._kept, self._spawn = attempts, kept, spawn
        self._unsettled: dict[AttemptId, Worker | None] = {}
        self._untold: dict[Worker, None] = {}
        self._on_disk: list[str] = []  # records that nobody needs any more
        self._timer: asyncio.TimerHandle | None = None

    def __contains__(self, attempt: AttemptId) -> bool:
        """Whether its end was reported and is not durable yet."""
        return attempt in self._unsettled

    def reported(self, attempt: AttemptId, worker: Worker | None) -> None:
        """Its end was reported. `worker` remembers the outcome; None where its record lies on disk."""
        self._unsettled[attempt] = worker

    def settle(self, attempts: Iterable[AttemptId]) -> None:
        """These ends are durable."""
        for attempt in attempts:
            worker = self._unsettled.pop(attempt, None)
            if worker is not None and worker.ready:
                worker.acks.append(str(attempt))
                self._untold[worker] = None
            if worker is None and self._kept.settled(str(attempt)):
                continue
            if worker is None or worker.adopted or not worker.ready:
                self._on_disk.append(str(attempt))
        if (self._untold or self._on_disk or self._kept.is_due) and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(ACK_DELAY, self.flush)

    def unneeded(self, records: Iterable[str]) -> None:
        """Nobody needs the records of these attempts any more."""
        self._on_disk += records
        self.flush()

    def flush(self) -> None:
        """Tell workers, and remove records, now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        untold, self._untold = self._untold, {}
        for worker in untold:
            worker.flush()
        if self._on_disk or self._kept.is_due:
            on_disk, self._on_disk = self._on_disk, []
            self._spawn(self._remove(on_disk))

    async def _remove(self, on_disk: list[str]) -> None:
        try:
            await asyncio.to_thread(records.remove, self._attempts, on_disk)
            await asyncio.to_thread(self._kept.remove)
        except OSError as error:
            log.warning("Records of ends that nobody needs stay for now: %s", error)
            self._on_disk += on_disk  # they go with the next ones, or at the next start
