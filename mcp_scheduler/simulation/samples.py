"""Numbers about many numbers: means, quantiles, Jain's index, and how sure a mean is."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

_DRAWS: Final = 1000


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean; 0 of nothing."""
    return sum(values) / len(values) if values else 0.0


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0..1) of the values lie, between neighbours by a straight line; 0 of nothing."""
    if not values:
        return 0.0
    found = sorted(values)
    place = share * (len(found) - 1)
    low = int(place)
    high = min(low + 1, len(found) - 1)
    return found[low] + (place - low) * (found[high] - found[low])


def jain(values: Sequence[float]) -> float:
    """Jain's fairness index, (Σx)² / (n Σx²): 1 if all are equal, 1/n if one has everything."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


def interval(values: Sequence[float], seed: int = 1) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean (percentile method, 1,000 draws). It means little below 10 values."""
    draw = random.Random(seed)  # noqa: S311 - the same figures for the same seed
    means = [mean(draw.choices(values, k=len(values))) for _ in range(_DRAWS)]
    return quantile(means, 0.025), quantile(means, 0.975)
