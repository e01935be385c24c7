"""How far off the last predictions were, and the bound that follows: split conformal prediction on log ratios.

A bound at the right rank of the last residuals is exceeded by one run in ten, whatever their distribution, if runs are
exchangeable (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005; for the rank see Lei et al.,
Distribution-Free Predictive Inference for Regression, JASA 2018, section 2.2). Because runs drift, the level itself
follows the misses (Gibbs and Candès, Adaptive Conformal Inference Under Distribution Shift, NeurIPS 2021).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import Final

LENGTH: Final = 100
FEWEST: Final = 9  # fewer residuals cannot have a 90 % bound among them
COVERAGE: Final = 0.9
_STEP: Final = 0.005  # how much one run moves the level
_LEVELS: Final = (0.75, 0.98)


class Residuals:
    """log(actual / predicted) of the last predictions. `level` is the rank, as a share, that the bound is taken at."""

    __slots__ = ("_order", "_sorted", "level")

    def __init__(self) -> None:
        self._order: deque[float] = deque()
        self._sorted: list[float] = []
        self.level = COVERAGE

    def __len__(self) -> int:
        return len(self._order)

    @property
    def values(self) -> list[float]:
        return list(self._order)

    def add(self, value: float) -> None:
        self._order.append(value)
        insort(self._sorted, value)
        if len(self._order) > LENGTH:
            self.drop_oldest()

    def drop_oldest(self) -> None:
        del self._sorted[bisect_left(self._sorted, self._order.popleft())]

    def hit(self, is_covered: bool) -> None:
        """Whether the run stayed within its bound: the level falls a little after a hit, and rises after a miss."""
        moved = self.level + _STEP * ((1.0 - COVERAGE) * -1.0 if is_covered else COVERAGE)
        self.level = min(max(moved, _LEVELS[0]), _LEVELS[1])

    def bound(self) -> float:
        """The residual that `level` of the next runs stay below."""
        return self.quantile(self.level)

    def quantile(self, share: float) -> float:
        """The residual that this share of the next runs stay below; between two ranks it is interpolated."""
        ordered = self._sorted
        rank = share * (len(ordered) + 1) - 1
        low = min(max(int(rank), 0), len(ordered) - 1)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (ordered[high] - ordered[low]) * min(max(rank - low, 0.0), 1.0)
