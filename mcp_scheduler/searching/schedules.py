"""From an order of tasks to a schedule: serial generation, and improvement by scheduling from both ends.

Serial: each task in turn starts as early as its predecessors and the resources allow, also in gaps before tasks that
were placed earlier (J. E. Kelley, 1963). Both ends: the tasks are pushed to the right in the order of their ends, then
to the left in the order of their starts, which often shortens the whole and never lengthens it (V. Valls, F. Ballestín
and S. Quintanilla, "Justification and RCPSP", EJOR 165, 2005).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from mcp_scheduler.searching.problem import Demand, Problem

_EPSILON = 1e-9


class Profile:
    """What is free of each resource as time goes by: `free[i]` from `times[i]` until the next of them."""

    __slots__ = ("free", "times")

    def __init__(self, capacity: Sequence[float], busy: Iterable[tuple[float, Demand]] = ()) -> None:
        self.times = [0.0]
        self.free = [list(capacity)]
        for until, demand in busy:
            if until > 0:
                self.take(0.0, until, demand)

    def place(self, earliest: float, seconds: float, demand: Demand) -> float:
        """Take the amounts for so long, as early as there is room; when that is."""
        start = earliest
        if demand and seconds > 0:
            start = self.room(earliest, seconds, demand)
            self.take(start, start + seconds, demand)
        return start

    def room(self, start: float, seconds: float, demand: Demand) -> float:
        """From when on, not before `start`, there is room for so long; nothing is taken."""
        times, free = self.times, self.free
        index = bisect_right(times, start) - 1
        end, last = start + seconds, len(times) - 1
        while True:
            here = free[index]
            for kind, amount in demand:
                if here[kind] + _EPSILON < amount:
                    if index == last:
                        return start  # it can never fit: the dry run will say so
                    start = times[index + 1]
                    end = start + seconds
                    break
            else:
                if index == last or times[index + 1] >= end - _EPSILON:
                    return start
            index += 1

    def take(self, start: float, end: float, demand: Demand) -> None:
        """Take the amounts between these two moments."""
        first, last = self._cut(start), self._cut(end)
        for here in self.free[first:last]:
            for kind, amount in demand:
                here[kind] -= amount

    def _cut(self, at: float) -> int:
        index = bisect_right(self.times, at + _EPSILON) - 1
        if at - self.times[index] <= _EPSILON:
            return index
        self.times.insert(index + 1, at)
        self.free.insert(index + 1, list(self.free[index]))
        return index + 1


def serial(problem: Problem, order: Iterable[int]) -> tuple[list[float], float]:
    """The start of each task, and the end of the last. The order has predecessors before those that name them."""
    profile = Profile(problem.capacity, problem.busy)
    seconds, demands, before = problem.seconds, problem.demands, problem.before
    starts, ends = [0.0] * len(seconds), [0.0] * len(seconds)
    for task in order:
        earliest = 0.0
        for other in before[task]:
            earliest = max(earliest, ends[other])
        starts[task] = profile.place(earliest, seconds[task], demands[task])
        ends[task] = starts[task] + seconds[task]
    return starts, max(ends, default=0.0)


def from_both_ends(problem: Problem, starts: Sequence[float]) -> tuple[list[float], float]:
    """A schedule that is no longer than this one, but for what is busy at the beginning."""
    seconds = problem.seconds
    places = range(len(seconds))
    backwards = sorted(places, key=lambda task: (-starts[task] - seconds[task], -task))
    profile = Profile(problem.capacity)
    left = [0.0] * len(seconds)  # between the end of each and the end of all, then with its own seconds
    for task in backwards:
        earliest = max((left[other] for other in problem.after[task]), default=0.0)
        left[task] = profile.place(earliest, seconds[task], problem.demands[task]) + seconds[task]
    return serial(problem, sorted(places, key=lambda task: (-left[task], task)))
