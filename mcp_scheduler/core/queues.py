"""A queue: tasks of equal terms, priority and about equal length, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from heapq import heappop, heappush, merge
from itertools import islice
from typing import Final

from mcp_scheduler.core.heads import Entry, Group, Head
from mcp_scheduler.core.policy import TaskClass
from mcp_scheduler.core.task import Task

_GONE: Final = 32  # places at the beginning of a line that are worth a clearance
_DEAD: Final = 64  # tasks that are worth a look at all
_NONE_EARLY: Final[list[tuple[float, int, int, Task]]] = []  # shared, and never changed
_NONE_DEAD: Final[dict[Task, int]] = {}


class Queue:
    """Nearly all tasks arrive in the order in which they run and stand in `line`, the first of them at `begin`. Those
    that belong before the last one of it (handed back, or with an earlier deadline) stand in the heap `early`. There
    may be as many queues as tasks: what most of them lack is not made for them, and a deque would have 64 places.

    The order within a queue is by arrival, or by deadline; only its head is ranked, by `rank`, and again when the
    policy's epoch is over (`stale`). A task leaves the middle by being counted dead: its place is given up when it
    comes to the head, or when there are more dead ones than living ones.
    """

    __slots__ = (
        "_head",
        "begin",
        "dead",
        "early",
        "has_deadlines",
        "key",
        "kind",
        "line",
        "offered",
        "overtakes",
        "parent",
        "rank",
        "size",
    )

    def __init__(
        self, key: Hashable, kind: TaskClass, parent: Group, rank: Callable[[TaskClass, float, Task], float]
    ) -> None:
        self.key = key
        self.kind = kind
        self.parent = parent
        self.rank = rank
        self.line: list[Head] = []
        self.begin = 0
        self.early = _NONE_EARLY
        self.overtakes = 0  # counts what was put into `early`: no two entries are equal
        self.dead = _NONE_DEAD
        self.offered: Entry | None = None
        self.size = 0
        self.has_deadlines = False  # whether it is ordered by them
        self._head: Head | None = None  # ranked; None where it has to be looked for

    def __lt__(self, other: object) -> bool:
        """As for groups."""
        return False

    def is_empty(self) -> bool:
        return not self.size

    def add(self, place: float, task: Task) -> None:
        self.size += 1
        if self.line and (place, task.seq) < self.line[-1][:2]:
            self.overtakes += 1
            if self.early is _NONE_EARLY:
                self.early = []
            heappush(self.early, (place, task.seq, self.overtakes, task))
            self.stale()
        else:
            self.line.append((place, task.seq, task))

    def kill(self, task: Task) -> None:
        """The task waits for something else from now on, or has ended."""
        if self.dead is _NONE_DEAD:
            self.dead = {}
        self.dead[task] = self.dead.get(task, 0) + 1
        self.size -= 1
        if len(self.dead) > self.size + _DEAD:
            self.line, self.begin = [(place, one.seq, one) for place, one in self.tasks()], 0
            self.early, self.dead = _NONE_EARLY, _NONE_DEAD
        self.stale()

    def stale(self) -> None:
        """Look for the head anew, and rank it, when it is asked for."""
        self._head = None
        self.parent.stale()

    def head(self) -> Head | None:
        """The first living entry, with its rank; dead ones before it are dropped for good."""
        head = self._head
        if head is None and (first := self.first()) is not None:
            head = self._head = (self.rank(self.kind, first[0], first[2]), first[1], first[2])
        return head

    def first(self) -> Head | None:
        """The same, with its place in the queue instead of its rank."""
        if not self.early and not self.dead:
            return self.line[self.begin] if self.line else None
        while True:
            first = self._first()
            if first is None or not self.dead or first[2] not in self.dead:
                return first
            self._drop()
            left = self.dead[first[2]] - 1
            if left:
                self.dead[first[2]] = left
            else:
                del self.dead[first[2]]

    def tasks(self) -> Iterator[tuple[float, Task]]:
        """Every living one with its place, in their order, as far as one asks."""
        dead = dict(self.dead)
        early = ((place, seq, task) for place, seq, _, task in sorted(self.early))
        for place, _, task in merge(early, islice(self.line, self.begin, None), key=lambda entry: entry[:2]):
            if dead.get(task):
                dead[task] -= 1  # of several places of one task, the earlier ones are dead
            else:
                yield place, task

    def ranked(self) -> Iterator[Head]:
        """The same with their ranks, as far as one asks."""
        for place, task in self.tasks():
            yield self.rank(self.kind, place, task), task.seq, task

    def pop(self) -> None:
        """Take the head out. The next one has its rank if it has its place, as in a row that came together."""
        self.size -= 1
        old, self._head = self._head, None
        self.parent.stale()
        if self.early or self.dead or self.has_deadlines:
            self._drop()
            return
        place = self.line[self.begin][0]
        self._step()
        if old is not None and self.line and (following := self.line[self.begin])[0] == place:
            self._head = (old[0], following[1], following[2])

    def _drop(self) -> None:
        if self._early_first():
            heappop(self.early)
        else:
            self._step()

    def _step(self) -> None:
        """The first of the line is gone."""
        begin = self.begin = self.begin + 1
        if begin == len(self.line):
            self.line, self.begin = [], 0
        elif begin > _GONE and 2 * begin > len(self.line):
            del self.line[:begin]
            self.begin = 0

    def _first(self) -> Head | None:
        if self._early_first():
            place, seq, _, task = self.early[0]
            return place, seq, task
        return self.line[self.begin] if self.line else None

    def _early_first(self) -> bool:
        return bool(self.early) and (not self.line or self.early[0][:2] < self.line[self.begin][:2])
