"""The only reader of time inside the engine."""

from __future__ import annotations

import time

# Seconds since boot, those of suspension included where the system tells them.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """Wall time as it was when the engine started, carried on by the time since boot.

    A wall clock that is set a day ahead or back expires no attempt and wakes no task too early; the next engine starts
    from the clock as it is then. Time in which the machine sleeps counts, as it does in shims: what becomes due in it,
    is due when the machine wakes.
    """

    def __init__(self) -> None:
        self._offset = time.time() - _since_boot()  # noqa: TID251 - this file is where time is read

    def now(self) -> float:
        return self._offset + _since_boot()


def _since_boot() -> float:
    return time.clock_gettime(_CLOCK)
