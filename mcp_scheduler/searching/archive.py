"""Schedules that were tried, as far as no other is better: each with its figures, and with how much it used at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import Final, NamedTuple

from mcp_scheduler.core.energy import Use, joules, peak
from mcp_scheduler.searching.pareto import covers, spread
from mcp_scheduler.searching.problem import Choice, Problem
from mcp_scheduler.searching.search import by_keys, improved

_EPSILON: Final = 1e-9


class Power(NamedTuple):
    """Watts of one CPU or one device, ready and at work, and what amount of its resource is one of them."""

    idle: float
    work: float
    unit: float = 1.0


class Tried(NamedTuple):
    """A schedule: who has found it, its figures (the smaller the better), starts, what it had of each resource, and the
    way of each task."""

    by: str
    figures: tuple[float, ...]
    starts: list[float]
    capacity: tuple[float, ...]
    choice: Choice = ()


class Archive:
    """`power`: the resources that draw some, by number. `objectives`: which figures count."""

    def __init__(self, problem: Problem, power: Mapping[int, Power], objectives: Sequence[str]) -> None:
        self.problem = problem
        self.objectives = objectives
        self.kinds = tuple(power)
        self.best: list[Tried] = []
        self._power = power

    def decode(self, keys: Sequence[float], shares: Sequence[float], by: str, choice: Choice = ()) -> tuple[float, ...]:
        """Random keys: tasks in the order of `keys`, predecessors first, each as early as there is room (J. C. Bean,
        ORSA Journal on Computing 6, 1994), in a part of each resource of `kinds`: from what the most demanding task
        needs (0) to all (1); each in the way that is chosen for it. The figures."""
        narrow = self.narrowed(shares, choice)
        return self.keep(by, improved(narrow, by_keys(narrow, keys)).starts, narrow.capacity, choice)

    def keep(self, by: str, starts: list[float], capacity: tuple[float, ...], choice: Choice = ()) -> tuple[float, ...]:
        """Its figures. It is kept until one is found that is in no figure worse."""
        figures = self.figures(starts, choice)
        if not any(covers(one.figures, figures) for one in self.best):
            self.best = [one for one in self.best if not covers(figures, one.figures)]
            self.best.append(Tried(by, figures, starts, capacity, choice))
        return figures

    def few(self, most: int) -> list[Tried]:
        """So many of the best, spread over all that they differ in."""
        return [self.best[place] for place in spread([one.figures for one in self.best], most)]

    def narrowed(self, shares: Sequence[float], choice: Choice = ()) -> Problem:
        """The problem with a part of each resource, beside what is busy at the beginning."""
        problem = self.problem.choosing(choice)
        capacity = list(problem.capacity)
        for kind, share in zip(self.kinds, shares, strict=True):
            unit = self._power[kind].unit
            least = _least(problem, kind)
            busy = sum(amount for _, demand in problem.busy for here, amount in demand if here == kind)
            more = ceil(share * (problem.capacity[kind] - least) / unit - _EPSILON) * unit
            capacity[kind] = min(capacity[kind], least + more + busy)
        return replace(problem, capacity=tuple(capacity))

    def shares(self, starts: Sequence[float], choice: Choice = ()) -> list[float]:
        """How much of each resource of `kinds` this schedule uses at once, as `narrowed` takes it."""
        problem = self.problem.choosing(choice)
        least = [_least(problem, kind) for kind in self.kinds]
        peaks = [peak(self._uses(problem, kind, starts)) * self._power[kind].unit for kind in self.kinds]
        used = [most - one for most, one in zip(peaks, least, strict=True)]
        rooms = [problem.capacity[kind] - one for kind, one in zip(self.kinds, least, strict=True)]
        return [min(1.0, one / room) if room > 0 else 1.0 for one, room in zip(used, rooms, strict=True)]

    def figures(self, starts: Sequence[float], choice: Choice = ()) -> tuple[float, ...]:
        """Of the objectives: seconds, joules, and the share that is not used, all the smaller the better."""
        problem = self.problem.choosing(choice)
        uses = {kind: self._uses(problem, kind, starts) for kind in self.kinds}
        end = max((use + seconds for use, seconds in zip(starts, problem.seconds, strict=True)), default=0.0)
        worked = [sum(one.amount * (one.end - one.start) for one in uses[kind]) for kind in self.kinds]
        shares = [
            work * self._power[kind].unit / (problem.capacity[kind] * end)
            for kind, work in zip(self.kinds, worked, strict=True)
            if problem.capacity[kind] and end
        ]
        known = {
            "makespan": end,
            "energy": sum(joules(uses[kind], self._power[kind].idle, self._power[kind].work) for kind in self.kinds),
            "utilisation": 1.0 - sum(shares) / max(1, len(shares)),
        }
        return tuple(known[name] for name in self.objectives)

    def _uses(self, problem: Problem, kind: int, starts: Sequence[float]) -> list[Use]:
        return [
            Use(start, start + seconds, amount / self._power[kind].unit)
            for start, seconds, demand in zip(starts, problem.seconds, problem.demands, strict=True)
            for here, amount in demand
            if here == kind
        ]


def _least(problem: Problem, kind: int) -> float:
    """What the most demanding task needs."""
    return max((amount for demand in problem.demands for here, amount in demand if here == kind), default=0.0)
