"""What becomes due, and when. A timer that has lost its meaning is passed over when it fires."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from math import inf
from typing import Final, NamedTuple

from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.task import Task

SWEEP: Final = 10_000  # timers; fewer are not worth a look at all of them


class Timer(NamedTuple):
    """Something becomes due at `at`: a task's time, an attempt's timeout, or a look at a slot whose head may hang."""

    at: float
    order: int
    task: Task | None = None
    attempt: AttemptId | None = None
    slot: str = ""


class Timers:
    """All of them, the soonest first."""

    __slots__ = ("_count", "_heap", "_sweep_at")

    def __init__(self) -> None:
        self._heap: list[Timer] = []
        self._count = 0
        self._sweep_at = SWEEP

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, at: float, task: Task | None, attempt: AttemptId | None, slot: str) -> None:
        self._count += 1
        heappush(self._heap, Timer(at, self._count, task, attempt, slot))

    def due(self, now: float) -> Iterable[Timer]:
        """Those that have fired, each once."""
        while self._heap and self._heap[0].at <= now:
            yield heappop(self._heap)

    def first(self) -> float:
        """When the next one fires; infinite where there is none."""
        return self._heap[0].at if self._heap else inf

    def sweep(self, means: Callable[[Timer], bool]) -> None:
        """Where there are many, drop those that mean nothing any more: a call with a timeout of an hour leaves one
        behind for an hour."""
        if len(self._heap) > self._sweep_at:
            meant = {(timer.task, timer.attempt, timer.slot): timer for timer in self._heap if means(timer)}
            self._heap = sorted(meant.values())
            self._sweep_at = 2 * len(self._heap) + SWEEP
