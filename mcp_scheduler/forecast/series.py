"""One key's forecast: the guess that has been best lately, and how far off predictions of this key were."""

from __future__ import annotations

from collections import deque
from typing import Any, Final, Self

from mcp_scheduler.forecast.history import METHODS, History
from mcp_scheduler.forecast.residuals import LENGTH, Residuals
from mcp_scheduler.forecast.score import Score

_DECAY: Final = 0.95  # weight of the past in a method's running error
_FEWEST: Final = 3  # runs; with fewer nothing but the median makes sense
_DIGITS: Final = 4  # of a logarithm, as it is stored: a hundredth of a per cent


class Series:
    """Learns one run at a time. `errors` are running means of |log ratio| of each method; `trained` is the table of a
    model that was trained elsewhere, by size: it takes part in the choice like the others."""

    __slots__ = ("errors", "history", "judged", "residuals", "score", "trained")

    def __init__(self) -> None:
        self.history = History()
        self.errors = [0.0] * len(METHODS)
        self.residuals = Residuals()
        self.judged: deque[tuple[float, float, float]] = deque(maxlen=LENGTH)
        self.score = Score()
        self.trained: dict[int, float] = {}

    @property
    def method(self) -> str:
        """The method that guesses now."""
        return METHODS[self._best()]

    def guess(self, size: int) -> float:
        """The logarithm of what to expect. There must have been a run."""
        best = self._best()
        if best == 0:
            return self.history.recent()
        return self._guesses(size)[best]

    def judge(self, value: float, median: float, upper: float) -> None:
        """What was predicted of a run, and what it took: all logarithms. The last hundred are remembered."""
        self.judged.append((value, median, upper))
        self.residuals.add(value - median)

    def learn(self, size: int, value: float) -> None:
        """A run: judge every method by it, then remember it."""
        if len(self.history):
            for place, guess in enumerate(self._guesses(size)):
                self.errors[place] = _DECAY * self.errors[place] + (1.0 - _DECAY) * abs(value - guess)
        self.history.add(size, value)

    def take_table(self, table: dict[int, float], error: float) -> None:
        """Guesses by size that a model made, and how far off it was on runs that it had not seen; empty: none."""
        self.trained = table
        self.errors[-1] = error

    def _best(self) -> int:
        if len(self.history) < _FEWEST:
            return 0
        choice = self.errors if self.trained else self.errors[:-1]
        return choice.index(min(choice))

    def _guesses(self, size: int) -> tuple[float, ...]:
        history = self.history
        recent = history.recent()
        return recent, history.linear(size), history.nearest(size), self.trained.get(size, recent)

    def plain(self) -> dict[str, Any]:
        """As JSON can say it."""
        return {
            "runs": [[size, round(value, _DIGITS)] for size, value in self.history.runs],
            "errors": [round(error, _DIGITS) for error in self.errors],
            "judged": [[round(value, _DIGITS) for value in one] for one in self.judged],
            "level": round(self.residuals.level, _DIGITS),
            "score": self.score.plain(),
            "trained": [[size, round(value, _DIGITS)] for size, value in self.trained.items()],
        }

    @classmethod
    def of(cls, found: dict[str, Any]) -> Self:
        """From what `plain` made."""
        made = cls()
        for size, value in found["runs"]:
            made.history.add(int(size), float(value))
        made.errors = [float(error) for error in found["errors"]]
        made.residuals.level = float(found["level"])
        for value, median, upper in found["judged"]:
            made.judge(float(value), float(median), float(upper))
        made.score = Score.of(found["score"])
        made.trained = {int(size): float(value) for size, value in found.get("trained", ())}
        return made
