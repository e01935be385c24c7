"""How long calls of one target take, learnt from those that ended: cautious, cheap, and the same in every replay."""

from __future__ import annotations

from typing import Final

_FALL: Final = 0.05  # a shorter call pulls the estimate down by this share; a longer one raises it at once


class Estimates:
    """Expected seconds per target. It errs on the long side: one slow call ends the filling of windows."""

    __slots__ = ("_seconds",)

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def learn(self, target: str, seconds: float) -> None:
        """A call of `target` took `seconds`, or has taken so long already."""
        known = self._seconds.get(target)
        if known is None or seconds >= known:
            self._seconds[target] = seconds
        else:
            self._seconds[target] = known + _FALL * (seconds - known)

    def seconds(self, target: str) -> float | None:
        """What to expect; None where nothing is known."""
        return self._seconds.get(target)
