"""How tasks have ended of late, kept in memory: what most questions are about. Older ones are read from the store."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from mcp_scheduler.core.events import Outcome

KEPT: Final = 20_000
BYTES: Final = 32 * 2**20  # of results, which have 64 KiB each at most: larger ones are files


@dataclass(slots=True)
class LastRun:
    """What is worth showing of a task's last attempt."""

    started_at: float
    ended_at: float
    outcome: Outcome

    @property
    def size(self) -> int:
        """Bytes of its result."""
        return len(self.outcome.result or b"")


class LastRuns:
    """The latest `KEPT` of them, as far as their results have no more than `BYTES` together."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, LastRun] = OrderedDict()
        self._bytes = 0

    def of(self, task_id: str) -> LastRun | None:
        """None where it is not known any more, or has not been yet."""
        return self._runs.get(task_id)

    def keep(self, task_id: str, run: LastRun) -> None:
        """The task's last attempt has ended; the oldest ones are given up for it."""
        before = self._runs.pop(task_id, None)
        if before is not None:
            self._bytes -= before.size
        self._runs[task_id] = run
        self._bytes += run.size
        while len(self._runs) > KEPT or self._bytes > BYTES:
            _, oldest = self._runs.popitem(last=False)
            self._bytes -= oldest.size
