"""Deadlines of tasks that have not ended: who has one, and which passes next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from math import inf
from typing import Final

from mcp_scheduler.core.task import Task

_SLACK: Final = 64  # entries of tasks that have ended, or of earlier deadlines, that are not worth a look


class Deadlines:
    """The open tasks with a deadline, and the next one to pass. A task that ends leaves its entry in the heap: when
    most of them are of that kind the heap is made anew, or a task with a day's deadline would be kept for a day."""

    __slots__ = ("_heap", "_open")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Task]] = []
        self._open: dict[Task, None] = {}

    def __iter__(self) -> Iterator[Task]:
        return iter(self._open)

    def __len__(self) -> int:
        return len(self._open)

    def watch(self, task: Task) -> None:
        """The task has come, or its deadline has changed."""
        if task.deadline is None:
            self._open.pop(task, None)
        else:
            self._open[task] = None
            heappush(self._heap, (task.deadline, task.seq, task))

    def forget(self, task: Task) -> None:
        """The task has ended."""
        self._open.pop(task, None)
        if len(self._heap) > 2 * len(self._open) + _SLACK:
            self._heap = [(one.deadline, one.seq, one) for one in self._open if one.deadline is not None]
            heapify(self._heap)

    def next(self) -> float:
        """When the next deadline passes; infinite if there is none."""
        while self._heap and not self._holds(self._heap[0]):
            heappop(self._heap)
        return self._heap[0][0] if self._heap else inf

    def passed(self, now: float) -> Iterable[Task]:
        """The tasks whose deadline has passed, each once."""
        while self.next() <= now:
            _, _, task = heappop(self._heap)
            del self._open[task]
            yield task

    def _holds(self, entry: tuple[float, int, Task]) -> bool:
        at, _, task = entry
        return task in self._open and task.deadline == at
