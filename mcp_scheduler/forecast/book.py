"""Forecasts of one quantity over all keys: from narrow to wide (name, device class and size; name and device class;
name; everything), each drawn towards the next wider one by n / (n + 3) for its n runs.

The median ranks; the upper bound, which 90 % of the runs stay within, reserves. The bound comes from the residuals of
the very predictions that were made, so it knows nothing of how they were made, and need not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from math import exp, inf, log
from typing import Final, NamedTuple

from mcp_scheduler.core.estimates import Expected
from mcp_scheduler.forecast.residuals import FEWEST, LENGTH
from mcp_scheduler.forecast.series import Series

KEYS: Final = 1000  # series that are kept: those that learnt last
SPAN: Final = 4  # half powers of two in one bucket of sizes: a factor of four
_SHRINK: Final = 3.0
_ENOUGH: Final = 27  # runs of a key, beyond which wider ones are not asked: they would count for a tenth
_LATE: Final = 0.95  # of all runs have ended when one of them is called late
_FEW: Final = 20  # residuals; a narrow key with fewer borrows those of a wider one
_GUARD: Final = log(4.0)  # upper bound over median where nothing is known about errors yet
_LEAST: Final = 1e-6  # what is smaller counts as this: a logarithm needs something
_CACHED: Final = 64  # answers kept for each name

Key = tuple[str, ...]  # (), (name,), (name, device class), (name, device class, bucket)


class Logs(NamedTuple):
    """A prediction in logarithms. `late` is infinite where too few runs are known to say who is late."""

    median: float
    upper: float
    late: float = inf


class Book:
    """`learn` costs some tens of microseconds, `predict` less, and next to nothing when asked again."""

    def __init__(self) -> None:
        self._series: dict[Key, Series] = {}
        self._answers: dict[str, dict[tuple[str, int], Expected | None]] = {}
        self._changed: set[Key] = set()

    def __len__(self) -> int:
        return len(self._series)

    def series(self, key: Key) -> Series | None:
        """What is known of one key."""
        return self._series.get(key)

    def known(self) -> Iterator[Key]:
        return iter(self._series)

    def predict(self, name: str, device: str, size: int) -> Expected | None:
        """What to expect; None where nothing is known at all."""
        answers = self._answers.get(name)
        if answers is None:
            answers = self._answers[name] = {}
            if len(self._answers) > KEYS:
                del self._answers[next(iter(self._answers))]
        found = answers.get((device, size))
        if found is not None:
            return found
        logs = self.logs(_chain(name, device, size), size)
        if logs is None:
            return None
        if len(answers) >= _CACHED:
            answers.clear()
        late = exp(logs.late) if logs.late < inf else inf
        made = answers[device, size] = Expected(exp(logs.median), exp(logs.upper), late)
        return made

    def logs(self, chain: tuple[Key, ...], size: int) -> Logs | None:
        """The prediction for a key and its wider ones, the narrowest first."""
        rest = 1.0  # the weight that is left for wider keys
        total = 0.0
        for key in chain:
            series = self._series.get(key)
            if series is None or not len(series.history):
                continue
            count = len(series.history)
            weight = count / (count + _SHRINK)
            total += rest * weight * series.guess(size)
            rest *= 1.0 - weight
            if count >= _ENOUGH:
                break
        if rest == 1.0:
            return None
        median = total / (1.0 - rest)
        return Logs(median, median + max(self._margin(chain), 0.0), median + max(self._lateness(chain), 0.0))

    def _lateness(self, chain: tuple[Key, ...]) -> float:
        """How far above the median a run is late: by the residuals of the narrowest key that has enough of them."""
        for key in chain:
            series = self._series.get(key)
            if series is not None and len(series.residuals) >= _FEW:
                return series.residuals.quantile(_LATE)
        return inf

    def _margin(self, chain: tuple[Key, ...]) -> float:
        """How far the bound is above the median: by the residuals of the narrowest key that has enough of them."""
        best: Series | None = None
        for key in chain:
            series = self._series.get(key)
            if series is None:
                continue
            if len(series.residuals) >= _FEW:
                return series.residuals.bound()
            if best is None or len(series.residuals) > len(best.residuals):
                best = series
        if best is None or not len(best.residuals):
            return _GUARD
        return best.residuals.bound() if len(best.residuals) >= FEWEST else max(_GUARD, *best.residuals.values)

    def learn(self, name: str, device: str, size: int, amount: float, *, at_least: bool = False) -> None:
        """A run took `amount`; with `at_least` it was ended at that, and would have taken more.

        The prediction that would have been made is judged first. A run that was ended before its bound says nothing
        about the bound; in the history it stands for the median of those that took longer, or for twice its time."""
        value = log(max(amount, _LEAST))
        chain = _chain(name, device, size)
        before = self.logs(chain, size)
        judged = before is not None and not (at_least and value <= before.upper)
        for key in chain:
            series = self._at(key)
            if judged and before is not None:
                self._judge(series, before, value, at_least=at_least)
            series.learn(size, self._likely(series, value) if at_least else value)
        self._answers.pop(name, None)

    def _judge(self, series: Series, before: Logs, value: float, *, at_least: bool) -> None:
        series.residuals.hit(value <= before.upper)
        if at_least:
            series.score.missed()
            value = self._likely(series, value)
        else:
            series.score.judge(before.median, before.upper, value)
        series.judge(value, before.median, before.upper)

    def _likely(self, series: Series, value: float) -> float:
        longer = series.history.beyond(value)
        return value + log(2.0) if longer is None else longer

    def _at(self, key: Key) -> Series:
        """The series, as the one that learnt last."""
        series = self._series.pop(key, None) or Series()
        self._series[key] = series
        self._changed.add(key)
        if len(self._series) > KEYS:
            oldest = next(iter(self._series))
            del self._series[oldest]
            self._changed.add(oldest)
        return series

    def forget(self, key: Key, keep: int) -> None:
        """The key's runs have changed their nature: only the last `keep` count from now on."""
        series = self._series[key]
        while len(series.history) > max(keep, 1):
            series.history.drop_oldest()
        while len(series.residuals) > min(keep, LENGTH):
            series.residuals.drop_oldest()
            series.judged.popleft()
        self.touched(key)

    def touched(self, key: Key) -> None:
        """Somebody else has changed the series of this key."""
        self._changed.add(key)
        self._answers.clear()

    # --- kept beyond the engine's life

    def changes(self, most: int) -> dict[Key, str | None]:
        """At most so many of the keys that have changed since they were last handed out, as texts; None for what is
        forgotten. Empty when there is nothing more."""
        told: dict[Key, str | None] = {}
        while self._changed and len(told) < most:
            key = self._changed.pop()
            series = self._series.get(key)
            told[key] = None if series is None else json.dumps(series.plain(), separators=(",", ":"))
        return told

    def hand_out_again(self, keys: Iterable[Key]) -> None:
        """These could not be kept."""
        self._changed.update(keys)

    def load(self, key: Key, text: str) -> None:
        """What `changes` gave for this key in an earlier life."""
        self._series[key] = Series.of(json.loads(text))


def _chain(name: str, device: str, size: int) -> tuple[Key, ...]:
    return (name, device, str(size // SPAN)), (name, device), (name,), ()
