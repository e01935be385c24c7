"""A scheduling problem: tasks with durations, demands and predecessors, and what there is to share among them.

This is the resource-constrained project scheduling problem (RCPSP): A. A. B. Pritsker, L. J. Watters and P. M. Wolfe,
Management Science 16 (1969). Where a task can be done in several ways (on this device or on that one, for a shorter
or a longer time) it is the one with several modes: F. B. Talbot, Management Science 28 (1982).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

Demand = tuple[tuple[int, float], ...]  # resource, amount; zeros left out
Choice = Sequence[int]  # for each task one of its ways, by number; () is what the problem says itself


class Way(NamedTuple):
    """A task may be done so: for so many seconds, with this demand."""

    seconds: float
    demand: Demand


@dataclass(slots=True)
class Problem:
    """`seconds`, `demands` and `before` (the predecessors) of each task; `capacity` of each resource; `busy`: what is
    taken from the beginning until some second. Predecessors come before those that name them. `ways` of each task,
    where there are several for any; `seconds` and `demands` are those of one of them."""

    capacity: tuple[float, ...]
    seconds: list[float]
    demands: list[Demand]
    before: list[tuple[int, ...]]
    busy: list[tuple[float, Demand]] = field(default_factory=list[tuple[float, Demand]])
    ways: list[tuple[Way, ...]] = field(default_factory=list[tuple[Way, ...]])
    after: list[list[int]] = field(init=False)
    levels: list[float] = field(init=False)  # from the start of each to the end of the last that waits for it

    def __post_init__(self) -> None:
        self.after = [[] for _ in self.seconds]
        for task, before in enumerate(self.before):
            for other in before:
                self.after[other].append(task)
        self.levels = [0.0] * len(self.seconds)
        for task in reversed(range(len(self.seconds))):
            self.levels[task] = self.seconds[task] + max((self.levels[other] for other in self.after[task]), default=0)

    @property
    def open(self) -> list[int]:
        """The tasks that can be done in several ways."""
        return [task for task, ways in enumerate(self.ways) if len(ways) > 1]

    def choosing(self, choice: Choice) -> Problem:
        """The problem in which each task is done in this way."""
        if not choice or not self.ways:
            return self
        chosen = [ways[number] for ways, number in zip(self.ways, choice, strict=True)]
        return replace(self, seconds=[way.seconds for way in chosen], demands=[way.demand for way in chosen])

    @property
    def bound(self) -> float:
        """No schedule ends earlier: the longest chain, and the work that each resource has to do."""
        found = max(self.levels, default=0.0)
        for resource, capacity in enumerate(self.capacity):
            work = sum(
                seconds * amount
                for seconds, demand in zip(self.seconds, self.demands, strict=True)
                for kind, amount in demand
                if kind == resource
            )
            work += sum(until * amount for until, demand in self.busy for kind, amount in demand if kind == resource)
            found = max(found, work / capacity if capacity else 0.0)
        return found

    def told(self) -> dict[str, Any]:
        """For the way to the child."""
        return {
            "capacity": self.capacity, "seconds": self.seconds, "demands": self.demands, "before": self.before,
            "busy": self.busy, "ways": self.ways,
        }  # fmt: skip

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Self:
        return cls(
            tuple(told["capacity"]),
            list(told["seconds"]),
            [_demand(one) for one in told["demands"]],
            [tuple(one) for one in told["before"]],
            [(until, _demand(one)) for until, one in told["busy"]],
            [tuple(Way(seconds, _demand(demand)) for seconds, demand in ways) for ways in told.get("ways", ())],
        )


def _demand(told: Sequence[Sequence[float]]) -> Demand:
    return tuple((int(kind), amount) for kind, amount in told)
