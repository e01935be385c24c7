"""Forecasts of a series that is sampled at equal distances, such as a node's load: Holt-Winters, where it beats the
last value.

Additive Holt-Winters with a damped trend (Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd ed.,
sections 8.2 and 8.3):

    level  = alpha (y - season) + (1 - alpha) (level + phi trend)
    trend  = beta (level - old level) + (1 - beta) phi trend
    season = gamma (y - old level - phi trend) + (1 - gamma) season

Two of them compete: one whose level follows quickly, for what grows and falls, and one with a slow level and a season,
for what comes again and again.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

_DECAY: Final = 0.98  # weight of the past in the running errors


class Pace(NamedTuple):
    """How quickly the parts of a model follow: alpha, beta, gamma and the damping phi."""

    level: float
    trend: float
    season: float
    damping: float


DRIFTING: Final = Pace(0.4, 0.1, 0.0, 0.95)
SEASONAL: Final = Pace(0.1, 0.01, 0.3, 0.95)  # a quick level would take the season for its own


class HoltWinters:
    """`period` samples are a season; with 1 there is none."""

    __slots__ = ("_count", "_level", "_pace", "_season", "_trend")

    def __init__(self, pace: Pace, period: int = 1) -> None:
        self._pace = pace
        self._level = self._trend = 0.0
        self._season = [0.0] * period
        self._count = 0

    def add(self, value: float) -> None:
        pace, place = self._pace, self._count % len(self._season)
        season = self._season[place]
        if self._count == 0:
            self._level = value
        old, drift = self._level, pace.damping * self._trend
        self._level = pace.level * (value - season) + (1.0 - pace.level) * (old + drift)
        self._trend = pace.trend * (self._level - old) + (1.0 - pace.trend) * drift
        self._season[place] = pace.season * (value - old - drift) + (1.0 - pace.season) * season
        self._count += 1

    def ahead(self, steps: int) -> float:
        """What is expected so many samples from now."""
        damping = self._pace.damping
        drift = self._trend * damping * (1.0 - damping**steps) / (1.0 - damping)
        return self._level + drift + self._season[(self._count + steps - 1) % len(self._season)]


class Wave:
    """A series of percentages with its forecast `horizon` samples ahead, and the truth about that: each forecast is
    kept until its time has come, and judged beside the value that stood when it was made."""

    __slots__ = ("_errors", "_horizon", "_models", "_promises", "values")

    def __init__(self, horizon: int, period: int, length: int = 720) -> None:
        self.values: deque[float] = deque(maxlen=length)
        self._horizon = horizon
        self._models = (HoltWinters(DRIFTING), HoltWinters(SEASONAL, period))
        self._promises: deque[list[float]] = deque()
        self._errors = [0.0] * (len(self._models) + 1)  # of the models, and of the last value

    def add(self, value: float) -> None:
        if len(self._promises) == self._horizon:
            for place, promised in enumerate(self._promises.popleft()):
                self._errors[place] = _DECAY * self._errors[place] + (1.0 - _DECAY) * abs(value - promised)
        self.values.append(value)
        for model in self._models:
            model.add(value)
        self._promises.append([*(model.ahead(self._horizon) for model in self._models), value])

    @property
    def error(self) -> float:
        """The running mean error of what `ahead` says."""
        return min(self._errors)

    @property
    def is_modelled(self) -> bool:
        """Whether a model has been better than the last value."""
        return self.error < self._errors[-1]

    def ahead(self) -> float:
        """What to expect at the horizon, within 0 and 100."""
        if not self._promises:
            return 0.0
        best = self._errors.index(self.error) if self.is_modelled else -1
        return min(max(self._promises[-1][best], 0.0), 100.0)
