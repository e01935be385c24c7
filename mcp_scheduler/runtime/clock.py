"""The only reader of time inside the engine."""

from __future__ import annotations

import time


class SystemClock:
    """Wall time as it was when the engine started, carried on by the monotonic clock.

    A wall clock that is set a day ahead or back expires no attempt and wakes no task too early. `drift` tells how far
    the two have parted; `follow` adopts the wall clock again, for the times that people have named.
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()  # noqa: TID251 - this file is where time is read

    def now(self) -> float:
        return self._offset + time.monotonic()

    def drift(self) -> float:
        """Seconds by which the wall clock is ahead of `now`."""
        return time.time() - self.now()  # noqa: TID251 - this file is where time is read
