"""Random times, as far as forecasts know them: a mean and a variance, and which seconds are enough with what chance."""

from __future__ import annotations

from collections.abc import Iterable
from math import exp, expm1, log, log1p, sqrt
from typing import Final, NamedTuple

from mcp_scheduler.core.estimates import Expected

CHANCE: Final = 0.6
SURE: Final = 0.9  # the chance of the bounds of forecasts
_Z: Final = {CHANCE: 0.253347, SURE: 1.281552}  # quantiles of the normal distribution
_WIDEST: Final = 1.5  # of the logarithm: a bound of 7 medians tells that little is known, not how long the tail is


class Time(NamedTuple):
    """A random time: its mean in seconds and its variance."""

    mean: float
    variance: float = 0.0

    def times(self, factor: float) -> Time:
        return Time(self.mean * factor, self.variance * factor * factor)

    def of(self, count: int) -> Time:
        """So many of them, one after the other, each for itself."""
        return Time(self.mean * count, self.variance * count)

    def plus(self, other: Time) -> Time:
        """One after the other, each for itself."""
        return Time(self.mean + other.mean, self.variance + other.variance)

    def within(self, chance: float) -> float:
        """The seconds that are enough with this chance (`CHANCE` or `SURE`)."""
        if self.mean <= 0.0:
            return 0.0
        square = log1p(self.variance / self.mean**2)
        return self.mean * exp(_Z[chance] * sqrt(square) - square / 2)


def total(times: Iterable[Time]) -> Time:
    """One after the other, each for itself."""
    mean = variance = 0.0
    for time in times:
        mean += time.mean
        variance += time.variance
    return Time(mean, variance)


def lognormal(expected: Expected) -> Time:
    """A time of this median, and of this bound of 9 in 10."""
    if not 0.0 < expected.median < expected.upper:
        return Time(expected.median)
    square = min(log(expected.upper / expected.median) / _Z[SURE], _WIDEST) ** 2
    mean = expected.median * exp(square / 2)
    return Time(mean, mean * mean * expm1(square))


def rest(usual: float, upper: float) -> Time:
    """What is left of something that goes on for `usual` seconds, and in 9 cases of 10 for no more than `upper`."""
    return Time(usual, ((upper - usual) / _Z[SURE]) ** 2)
