"""Named things that tasks read and write: two tasks conflict if one writes what the other reads or writes.

Each thing has a line of the tasks that are queued or running, in the order in which they became queued. At its front
stand one writer, or readers that came one after the other; a task may start when it is at the front of every line it
stands in. A reader does not pass a writer that waits: nobody starves. Who joins a line joins all of its lines at once,
so every wait is for a task that became queued earlier: no circle of waits, no deadlock. Who is not queued (pending,
scheduled, held back, between two attempts) stands in no line and keeps nobody waiting.

Joining and leaving cost the number of the task's own things, whatever the length of the lines.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from mcp_scheduler.core.contention import Contention
from mcp_scheduler.core.task import Extras, Task


class Obstacle(NamedTuple):
    """Why a task has to wait: the first task in the line of `thing` that conflicts with it, and what that one does."""

    thing: str
    task: Task
    writes: bool


class Claim(NamedTuple):
    """A place in a line behind its front: what for, and since when."""

    writes: bool
    since: float


def claims(extras: Extras) -> dict[str, bool]:
    """Thing → whether it is written. Who names a thing as both writes it."""
    return dict.fromkeys(extras.reads, False) | dict.fromkeys(extras.writes, True)


class Line:
    """Who reads or writes one thing. `front` may use it now; `writing`: the front is a writer."""

    __slots__ = ("front", "waiting", "writing")

    def __init__(self) -> None:
        self.front: dict[Task, None] = {}
        self.waiting: OrderedDict[Task, Claim] = OrderedDict()  # a dict would look at every place that was given up
        self.writing = False

    def join(self, task: Task, claim: Claim) -> bool:
        """Stand at the end; whether that is the front."""
        if not self.waiting and self._lets_in(claim):
            self._let_in(task, claim)
            return True
        self.waiting[task] = claim
        return False

    def leave(self, task: Task) -> Claim | None:
        """Give the place up; the claim of one who had not come to the front."""
        claim = self.waiting.pop(task, None)
        if claim is None:
            del self.front[task]
        return claim

    def advance(self) -> Iterable[tuple[Task, Claim]]:
        """Those who come to the front now."""
        while self.waiting:
            task = next(iter(self.waiting))
            claim = self.waiting[task]
            if not self._lets_in(claim):
                return
            del self.waiting[task]
            self._let_in(task, claim)
            yield task, claim

    def obstacle(self, task: Task) -> tuple[Task, bool]:
        """The first who conflicts with `task`, which waits; whether that one writes."""
        if self.writing or self.waiting[task].writes:
            return next(iter(self.front)), self.writing
        return next(iter(self.waiting)), True  # readers are at the front: whoever waits first wants to write

    def _lets_in(self, claim: Claim) -> bool:
        return not self.front or not (self.writing or claim.writes)

    def _let_in(self, task: Task, claim: Claim) -> None:
        self.front[task] = None
        self.writing = claim.writes


class Conflicts:
    """The lines of all things that queued and running tasks name."""

    def __init__(self, contention: Contention) -> None:
        self.lines: dict[str, Line] = {}
        self.blocked: dict[Task, int] = {}  # → in how many lines it is not at the front
        self._contention = contention

    def join(self, task: Task, since: float) -> bool:
        """The task has become queued; whether it could start."""
        behind = 0
        for thing, writes in claims(task.extras).items():
            line = self.lines.get(thing)
            if line is None:
                line = self.lines[thing] = Line()
            behind += not line.join(task, Claim(writes, since))
        if behind:
            self.blocked[task] = behind
        return not behind

    def leave(self, task: Task, now: float) -> list[Task]:
        """The task is neither queued nor running any more; who could start now that it is gone."""
        freed: list[Task] = []
        self.blocked.pop(task, None)
        for thing in claims(task.extras):
            line = self.lines[thing]
            claim = line.leave(task)
            if claim is not None:
                self._contention.note(thing, now - claim.since, in_vain=True)
            for other, waited in line.advance():
                self._contention.note(thing, now - waited.since, in_vain=False)
                self.blocked[other] -= 1
                if not self.blocked[other]:
                    del self.blocked[other]
                    freed.append(other)
            if not line.front:
                del self.lines[thing]
        return freed

    def obstacles(self, task: Task) -> list[Obstacle]:
        """What a queued task waits for, in the order in which it names its things; empty if nothing is in its way."""
        if task not in self.blocked:
            return []
        return [
            Obstacle(thing, *line.obstacle(task))
            for thing in claims(task.extras)
            if task in (line := self.lines[thing]).waiting
        ]

    def waiting(self, thing: str) -> int:
        """How many tasks wait for the thing now."""
        line = self.lines.get(thing)
        return len(line.waiting) if line is not None else 0
