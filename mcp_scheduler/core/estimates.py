"""How long calls take: what the decision may ask (`Forecasts`), and the cautious, cheap estimate that fills windows."""

from __future__ import annotations

from math import inf
from typing import Final, NamedTuple, Protocol

from mcp_scheduler.core.task import Task, Terms


class Expected(NamedTuple):
    """Seconds that a call will take: the median ranks tasks, the upper bound (90 % end within it) reserves for them.
    After `late` seconds 95 % have ended; infinite where too little is known to say so."""

    median: float
    upper: float
    late: float = inf


def upper_of(expected: Expected | None, terms: Terms) -> float:
    """Seconds that a call takes at most, by what is expected or allowed; infinite if nobody knows."""
    upper = expected.upper if expected is not None else inf
    return upper if terms.timeout is None else min(upper, terms.timeout)


class Forecasts(Protocol):
    """Predictions from history, per function or command head, device class and size of the input. A prediction costs
    some tens of microseconds at most, and is the same in every replay of the same history."""

    def expected(self, task: Task, device_class: str = "", /) -> Expected | None:
        """Seconds from start to end on such a device ("" where none is used); None where nothing is known."""
        ...

    def learn(self, terms: Terms, size: int, device_class: str, seconds: float, *, at_least: bool = False) -> None:
        """A call took `seconds`; with `at_least` it was ended before its time, and would have taken longer."""
        ...


class Footprints(Protocol):
    """Predictions of the memory that a call takes at its highest, in bytes."""

    def memory(self, task: Task, /) -> Expected | None:
        """On the host; None where nothing is known."""
        ...

    def device_memory(self, task: Task, device_class: str, /) -> Expected | None:
        """On its fullest device, its context included."""
        ...

    def learn(
        self, terms: Terms, size: int, device_class: str, memory: int, device_memory: int, *, at_least: bool = False
    ) -> None:
        """The peaks of a call (0: not seen); with `at_least` it had too little, and would have taken more."""
        ...


MOST: Final = 10_000  # targets; beyond that the one that was known first is forgotten
_FALL: Final = 0.2  # a shorter call pulls the estimate down by this share
_LEAP: Final = 4.0  # a longer one raises it at once, but not beyond so many times what it was,
_STEP: Final = 0.001  # seconds: or to this, where that is more


class Estimates:
    """Expected seconds per target. It errs on the long side: two or three slow calls end the filling of windows. One
    does not: on a busy machine any call may be kept from its CPU for a while, and calls that go to their worker one by
    one for that reason wait for a commit each. What stands behind a slow call is called back: see `PATIENCE`."""

    __slots__ = ("_seconds",)

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def learn(self, target: str, seconds: float, *, at_least: bool = False) -> None:
        """A call of `target` took `seconds`; with `at_least` it has taken so long already, and still runs."""
        known = self._seconds.get(target)
        if known is None:
            if len(self._seconds) >= MOST:
                del self._seconds[next(iter(self._seconds))]
            self._seconds[target] = seconds
        elif seconds >= known:
            self._seconds[target] = seconds if at_least else min(seconds, max(known * _LEAP, _STEP))
        else:
            self._seconds[target] = known + _FALL * (seconds - known)

    def seconds(self, target: str) -> float | None:
        """What to expect; None where nothing is known."""
        return self._seconds.get(target)

    def expected(self, task: Task, device_class: str = "", /) -> Expected | None:  # noqa: ARG002 - one for all classes
        """The same, for whoever has no forecasts."""
        known = self._seconds.get(task.terms.target)
        return None if known is None else Expected(known, known)
