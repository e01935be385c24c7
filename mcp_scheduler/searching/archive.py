"""Schedules that were tried, as far as no other is better: each with its figures, and with how much it used at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import Final, NamedTuple

from mcp_scheduler.core.energy import Use, joules, peak
from mcp_scheduler.searching.pareto import covers, spread
from mcp_scheduler.searching.problem import Problem
from mcp_scheduler.searching.search import by_keys, improved

_EPSILON: Final = 1e-9


class Power(NamedTuple):
    """Watts of one CPU or one device, ready and at work, and what amount of its resource is one of them."""

    idle: float
    work: float
    unit: float = 1.0


class Tried(NamedTuple):
    """A schedule: who has found it, its figures (the smaller the better), starts, and what it had of each resource."""

    by: str
    figures: tuple[float, ...]
    starts: list[float]
    capacity: tuple[float, ...]


class Archive:
    """`power`: the resources that draw some, by number. `objectives`: which figures count."""

    def __init__(self, problem: Problem, power: Mapping[int, Power], objectives: Sequence[str]) -> None:
        self.problem = problem
        self.objectives = objectives
        self.kinds = tuple(power)
        self.best: list[Tried] = []
        self._power = power

    def decode(self, keys: Sequence[float], shares: Sequence[float], by: str) -> tuple[float, ...]:
        """Random keys: tasks in the order of `keys`, predecessors first, each as early as there is room (J. C. Bean,
        ORSA Journal on Computing 6, 1994), in a part of each resource of `kinds`: from what the most demanding task
        needs (0) to all (1). The figures."""
        narrow = self.narrowed(shares)
        return self.keep(by, improved(narrow, by_keys(narrow, keys)).starts, narrow.capacity)

    def keep(self, by: str, starts: list[float], capacity: tuple[float, ...]) -> tuple[float, ...]:
        """Its figures. It is kept until one is found that is in no figure worse."""
        figures = self.figures(starts)
        if not any(covers(one.figures, figures) for one in self.best):
            self.best = [one for one in self.best if not covers(figures, one.figures)]
            self.best.append(Tried(by, figures, starts, capacity))
        return figures

    def few(self, most: int) -> list[Tried]:
        """So many of the best, spread over all that they differ in."""
        return [self.best[place] for place in spread([one.figures for one in self.best], most)]

    def narrowed(self, shares: Sequence[float]) -> Problem:
        """The problem with a part of each resource, beside what is busy at the beginning."""
        capacity = list(self.problem.capacity)
        for kind, share in zip(self.kinds, shares, strict=True):
            unit = self._power[kind].unit
            busy = sum(amount for _, demand in self.problem.busy for here, amount in demand if here == kind)
            more = ceil(share * self._room(kind) / unit - _EPSILON) * unit
            capacity[kind] = min(capacity[kind], self._least(kind) + more + busy)
        return replace(self.problem, capacity=tuple(capacity))

    def shares(self, starts: Sequence[float]) -> list[float]:
        """How much of each resource of `kinds` this schedule uses at once, as `narrowed` takes it."""
        used = [peak(self._uses(kind, starts)) * self._power[kind].unit - self._least(kind) for kind in self.kinds]
        rooms = [self._room(kind) for kind in self.kinds]
        return [min(1.0, one / room) if room > 0 else 1.0 for one, room in zip(used, rooms, strict=True)]

    def _least(self, kind: int) -> float:
        """What the most demanding task needs."""
        demands = self.problem.demands
        return max((amount for demand in demands for here, amount in demand if here == kind), default=0.0)

    def _room(self, kind: int) -> float:
        return self.problem.capacity[kind] - self._least(kind)

    def figures(self, starts: Sequence[float]) -> tuple[float, ...]:
        """Of the objectives: seconds, joules, and the share that is not used, all the smaller the better."""
        uses = {kind: self._uses(kind, starts) for kind in self.kinds}
        end = max((use + seconds for use, seconds in zip(starts, self.problem.seconds, strict=True)), default=0.0)
        worked = [sum(one.amount * (one.end - one.start) for one in uses[kind]) for kind in self.kinds]
        shares = [
            work * self._power[kind].unit / (self.problem.capacity[kind] * end)
            for kind, work in zip(self.kinds, worked, strict=True)
            if self.problem.capacity[kind] and end
        ]
        known = {
            "makespan": end,
            "energy": sum(joules(uses[kind], self._power[kind].idle, self._power[kind].work) for kind in self.kinds),
            "utilisation": 1.0 - sum(shares) / max(1, len(shares)),
        }
        return tuple(known[name] for name in self.objectives)

    def _uses(self, kind: int, starts: Sequence[float]) -> list[Use]:
        return [
            Use(start, start + seconds, amount / self._power[kind].unit)
            for start, seconds, demand in zip(starts, self.problem.seconds, self.problem.demands, strict=True)
            for here, amount in demand
            if here == kind
        ]
