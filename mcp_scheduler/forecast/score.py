"""The truth about forecasts: each is made before its run is learnt, and judged by it."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp
from typing import Any, Self


@dataclass(slots=True)
class Score:
    """Predictions that were judged, those whose run stayed within the upper bound, and sums of logarithms: of the error
    either way, and of how wide the bound was above the median."""

    predictions: int = 0
    covered: int = 0
    error: float = 0.0
    width: float = 0.0

    def judge(self, median: float, upper: float, value: float) -> None:
        """All three are logarithms."""
        self.predictions += 1
        self.covered += value <= upper
        self.error += abs(value - median)
        self.width += upper - median

    def missed(self) -> None:
        """A run was ended beyond its bound: how long it would have taken is not known, that it missed is."""
        self.predictions += 1

    @property
    def coverage(self) -> float | None:
        """The share of runs that stayed within their 90 % bound."""
        return self.covered / self.predictions if self.predictions else None

    @property
    def typical_factor(self) -> float | None:
        """The factor by which a run typically differs from its median: the mean of |log ratio|, as a factor."""
        return exp(self.error / self.predictions) if self.predictions else None

    @property
    def typical_width(self) -> float | None:
        """How many times the median the bound typically is."""
        return exp(self.width / self.predictions) if self.predictions else None

    def plain(self) -> list[Any]:
        return [self.predictions, self.covered, round(self.error, 3), round(self.width, 3)]

    @classmethod
    def of(cls, found: list[Any]) -> Self:
        return cls(int(found[0]), int(found[1]), float(found[2]), float(found[3]))
