"""Detectors of change: each takes one value at a time, in constant time, and says when what it watches has changed.

They are cumulative sums (Page, "Continuous inspection schemes", Biometrika 1954; for the likelihood ratio of Bernoulli
trials see Reynolds and Stoumbos, "A CUSUM chart for monitoring a proportion", J. Quality Technology 1999; for the
running mean Page and Hinkley): evidence for a change adds up, evidence against it wears it off, and nothing is
remembered but the sum.
"""

from __future__ import annotations

from math import log
from typing import Final


class Excess:
    """Watches how far values lie above what was predicted of them, in units of the distance between the median and the
    90 % bound. `K` is what is worn off by each value, `H` the sum that is a change; a single value counts for `MOST`.

    A unit is 1.28 standard deviations of normal logarithms. Real ones have longer tails: what the figures come to is
    measured by `benchmarks/anomalies.py`."""

    __slots__ = ("_log_sum", "count", "sum", "unit")

    K: Final = 0.5
    H: Final = 8.0
    MOST: Final = 3.0
    _SOOTHE: Final = 0.05
    LEAST_UNIT: Final = 0.05  # of a logarithm: 5 %; less is noise of the clock

    def __init__(self) -> None:
        self.sum = 0.0
        self.unit = 0.0
        self.count = 0  # values since the sum was last zero
        self._log_sum = 0.0

    @property
    def factor(self) -> float:
        """The mean of log(value / median) since the change seems to have begun."""
        return self._log_sum / self.count if self.count else 0.0

    def add(self, value: float, median: float, upper: float) -> bool:
        """Whether there is a change upwards. Arguments are logarithms."""
        over = value - median
        if not self.sum:  # while evidence adds up the bound widens by it: what it was before counts
            unit = max(upper - median, self.LEAST_UNIT)
            self.unit = unit if not self.unit else self.unit + self._SOOTHE * (unit - self.unit)
        score = min(over / self.unit, self.MOST)
        self.sum = max(0.0, self.sum + score - self.K)
        if not self.sum:
            self.count, self._log_sum = 0, 0.0
            return False
        self.count += 1
        self._log_sum += over
        return self.sum >= self.H

    def begin_again(self) -> None:
        self.sum, self.count, self._log_sum = 0.0, 0, 0.0


class Burst:
    """Watches the share of bad ends. The usual share is learnt while nothing seems to change; a burst is a share of
    `0.3 + 2 · usual`, at most 0.95."""

    __slots__ = ("bad", "before", "count", "kept", "sum", "usual")

    H: Final = 7.5  # of log likelihood: four bad ends in a row, where they are rare
    _LEARN: Final = 0.01
    _FIRST, _LEAST, _MOST = 0.05, 0.02, 0.6

    def __init__(self, usual: float | None = None) -> None:
        self.usual = self._FIRST if usual is None else min(max(usual, 0.0), 1.0)
        self.kept = self.usual  # what whoever remembers it knows
        self.before = self.usual  # what was usual when the sum was last zero
        self.sum = 0.0
        self.count, self.bad = 0, 0  # since the sum was last zero

    def add(self, *, bad: bool) -> bool:
        """Whether there is a burst."""
        usual = min(max(self.usual, self._LEAST), self._MOST)
        if not self.sum:
            self.before = self.usual
        self.usual += self._LEARN * (bad - self.usual)
        if not bad and not self.sum:
            return False  # as nearly always: no logarithm is needed
        burst = min(0.95, 0.3 + 2.0 * usual)
        self.sum = max(0.0, self.sum + (log(burst / usual) if bad else log((1.0 - burst) / (1.0 - usual))))
        if not self.sum:
            self.count, self.bad = 0, 0
            return False
        self.count += 1
        self.bad += bad
        return self.sum >= self.H

    def begin_again(self) -> None:
        self.sum, self.count, self.bad = 0.0, 0, 0


class Drift:
    """Watches a level in percent (Page-Hinkley): `slack` is what it may lie above its mean for ever, `h` the sum of
    percents that is a drift. After one, the mean is learnt anew."""

    __slots__ = ("_before", "_count", "_sum", "mean", "now")

    SLACK: Final = 5.0
    H: Final = 600.0
    _MEMORY: Final = 720  # values that the mean is made of: an hour at one every five seconds
    _FEWEST: Final = 12
    _QUICK: Final = 0.2

    def __init__(self) -> None:
        self.mean = 0.0
        self.now = 0.0  # smoothed
        self._count = 0
        self._sum = 0.0
        self._before = 0.0  # the mean when the sum was last zero

    def add(self, percent: float) -> float | None:
        """The mean before the drift, if there is one."""
        self._count += 1
        if not self._sum:
            self._before = self.mean
        self.now += (percent - self.now) * max(self._QUICK, 1.0 / self._count)
        self._sum = max(0.0, self._sum + percent - self.mean - self.SLACK) if self._count > self._FEWEST else 0.0
        if self._sum >= self.H:
            self.mean = self.now
            self._count, self._sum = self._FEWEST, 0.0
            return self._before
        self.mean += (percent - self.mean) / min(self._count, self._MEMORY)
        return None
