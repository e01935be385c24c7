"""Which way for which task: a greedy sweep between the shortest time and the least energy.

Tasks in the order of their longest chains, each in the way that is best for it, as there is room by then: at the weight
0 where it ends first (H. Topcuoglu, S. Hariri and M.-Y. Wu, "Performance-effective and low-complexity task scheduling
for heterogeneous computing", IEEE Transactions on Parallel and Distributed Systems 13, 2002), at the weight 1 where it
takes the least energy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mcp_scheduler.searching.archive import Power
from mcp_scheduler.searching.problem import Problem, Way
from mcp_scheduler.searching.schedules import Profile
from mcp_scheduler.searching.search import by_keys

WEIGHTS: Final = (0.0, 1.0, 0.5, 0.25, 0.75)


def swept(problem: Problem, power: Mapping[int, Power]) -> list[tuple[int, ...]]:
    """A way for each task at each of the weights; equal ones once, the first in the order of `WEIGHTS`."""
    return list(dict.fromkeys(chosen(problem, power, weight) for weight in WEIGHTS))


def chosen(problem: Problem, power: Mapping[int, Power], weight: float) -> tuple[int, ...]:
    """For each task the number of the way in which (1 - weight) · end / T + weight · joules / J is least; T and J are
    the means of all ways of all tasks that have a choice, so that both terms are of one size."""
    ways = [way for task in problem.open for way in problem.ways[task]]
    second = sum(way.seconds for way in ways) / max(1, len(ways)) or 1.0
    joule = sum(_joules(way, power) for way in ways) / max(1, len(ways)) or 1.0
    profile = Profile(problem.capacity, problem.busy)
    ends = [0.0] * len(problem.seconds)
    found = [0] * len(problem.seconds)
    for task in by_keys(problem, [-level for level in problem.levels]):
        earliest = max((ends[other] for other in problem.before[task]), default=0.0)
        offers: list[tuple[float, float, int]] = []
        for number, way in enumerate(problem.ways[task]):
            end = profile.room(earliest, way.seconds, way.demand) + way.seconds
            offers.append(((1 - weight) * end / second + weight * _joules(way, power) / joule, end, number))
        found[task] = min(offers)[2]
        best = problem.ways[task][found[task]]
        ends[task] = profile.place(earliest, best.seconds, best.demand) + best.seconds
    return tuple(found)


def _joules(way: Way, power: Mapping[int, Power]) -> float:
    watts = sum(power[kind].work * amount / power[kind].unit for kind, amount in way.demand if kind in power)
    return way.seconds * watts
