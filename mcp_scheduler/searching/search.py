"""The search: generations of orders, each improved from both ends, until time is over or nothing shorter is possible.

A genetic algorithm over lists of activities with crossover at two points (S. Hartmann, "A competitive genetic algorithm
for resource-constrained project scheduling", Naval Research Logistics 45, 1998). It begins with the orders that it is
given and those of a few rules, so it is never worse than the best of them; chance comes from a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from mcp_scheduler.searching.problem import Problem
from mcp_scheduler.searching.schedules import from_both_ends, serial

_POPULATION = 30
_MUTATION = 0.05  # for each pair of neighbours
_TOURNAMENT = 2
_STALE = 60  # generations without anything better, after which all but the best begin anew


class Found(NamedTuple):
    """A schedule: its end, the start of each task, and the order it was made of."""

    end: float
    starts: list[float]
    order: list[int]


def search(problem: Problem, given: Sequence[Sequence[float]], goes_on: Callable[[], bool], seed: int = 1) -> Found:
    """The shortest schedule that is found while `goes_on`. `given`: starts of schedules to begin with."""
    random = Random(seed)  # noqa: S311 - no secret
    bound = problem.bound * (1 + 1e-9)
    alive = [improved(problem, in_order_of(starts)) for starts in [*given, [-level for level in problem.levels]]]
    best = min(alive)
    while len(alive) < _POPULATION and goes_on() and best.end > bound:
        alive.append(improved(problem, _drawn(problem, random)))
        best = min(best, alive[-1])
    stale = 0
    while goes_on() and best.end > bound and len(problem.seconds) > 1:
        mother, father = _chosen(alive, random), _chosen(alive, random)
        child = improved(problem, _changed(problem, _crossed(mother.order, father.order, random), random))
        worst = max(range(len(alive)), key=lambda place: alive[place].end)
        if child.end <= alive[worst].end and all(child.starts != other.starts for other in alive):
            alive[worst] = child
        stale = 0 if child.end < best.end else stale + 1
        best = min(best, child)
        if stale > _STALE * _POPULATION:
            stale = 0
            alive = [best, *(improved(problem, _drawn(problem, random)) for _ in range(_POPULATION // 2) if goes_on())]
    return best


def in_order_of(starts: Sequence[float]) -> list[int]:
    return sorted(range(len(starts)), key=lambda task: (starts[task], task))


def improved(problem: Problem, order: list[int]) -> Found:
    starts, end = serial(problem, order)
    better, sooner = from_both_ends(problem, starts)
    if sooner <= end:
        starts, end = better, sooner
    return Found(end, starts, in_order_of(starts))


def _drawn(problem: Problem, random: Random) -> list[int]:
    """An order by the longest chains, shaken."""
    whole = max(problem.levels, default=0.0)
    shake = random.choice((0.1, 0.3, 1.0)) * whole
    return by_keys(problem, [-level + random.uniform(0.0, shake) for level in problem.levels])


def by_keys(problem: Problem, keys: Sequence[float]) -> list[int]:
    """The order of the keys, predecessors first."""
    placed = list(keys)
    for task, before in enumerate(problem.before):
        for other in before:
            placed[task] = max(placed[task], placed[other])
    return sorted(range(len(keys)), key=lambda task: (placed[task], task))


def _crossed(mother: list[int], father: list[int], random: Random) -> list[int]:
    """The beginning and the end as the mother has them, what lies between in the order of the father."""
    first, second = sorted((random.randrange(len(mother)), random.randrange(len(mother) + 1)))
    middle = set(mother[first:second])
    return [*mother[:first], *(task for task in father if task in middle), *mother[second:]]


def _changed(problem: Problem, order: list[int], random: Random) -> list[int]:
    for place in range(len(order) - 1):
        if random.random() < _MUTATION and order[place] not in problem.before[order[place + 1]]:
            order[place], order[place + 1] = order[place + 1], order[place]
    return order


def _chosen(alive: Sequence[Found], random: Random) -> Found:
    return min((random.choice(alive) for _ in range(_TOURNAMENT)), key=lambda one: one.end)
