"""What is better in one figure and worse in none; and a few points that stand for many. All figures are the smaller the
better."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import inf
from typing import Final

_EPSILON: Final = 1e-6  # of a figure: closer ones are equal

Figures = Sequence[float]


def covers(one: Figures, other: Figures) -> bool:
    """Whether it is in no figure worse: it dominates the other or equals it."""
    return all(mine <= others + _EPSILON * max(1.0, abs(others)) for mine, others in zip(one, other, strict=True))


def front(points: Sequence[Figures]) -> list[int]:
    """The places of those that no other point dominates; of equal ones the first."""
    kept: list[int] = []
    for place, point in enumerate(points):
        if any(covers(points[other], point) for other in kept):
            continue
        kept = [other for other in kept if not covers(point, points[other])]
        kept.append(place)
    return kept


def spread(points: Sequence[Figures], most: int, needed: Collection[int] = ()) -> list[int]:
    """The places of at most so many points, and of all that are `needed`: again and again the most crowded one of the
    others is left out.

    Crowding distance: K. Deb, A. Pratap, S. Agarwal and T. Meyarivan, "A fast and elitist multiobjective genetic
    algorithm: NSGA-II", IEEE Transactions on Evolutionary Computation 6, 2002. The best of each figure stays."""
    kept = list(range(len(points)))
    while len(kept) > max(most, len(needed)):
        distances = _distances([points[place] for place in kept])
        free = [number for number, place in enumerate(kept) if place not in needed]
        del kept[min(free, key=lambda number: distances[number])]
    return kept


def _distances(points: Sequence[Figures]) -> list[float]:
    found = [0.0] * len(points)
    for figure in range(len(points[0])):
        order = sorted(range(len(points)), key=lambda place: points[place][figure])
        width = points[order[-1]][figure] - points[order[0]][figure]
        if width <= 0:
            continue
        found[order[0]] = found[order[-1]] = inf
        for before, here, after in zip(order, order[1:], order[2:], strict=False):
            found[here] += (points[after][figure] - points[before][figure]) / width
    return found
