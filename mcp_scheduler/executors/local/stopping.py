"""How a shim stops the call that its worker runs, or the worker itself: SIGTERM first, SIGKILL after the grace time.

A stop is for one run of one call. It may come when that run is over already: it then hits nothing, and whoever asked is
told (`missed`), or takes it back (`spare`) when he hears how the call ended by itself. The end of the whole worker is
never taken back.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from mcp_scheduler.sdk.now import Now

AGAIN = 1.0  # seconds between two blows at a worker that SIGKILL has not ended yet


class Stopping:
    """Of one worker. `strike` sends it a signal. `told` is the last stop that was for a run: sequence and reason."""

    def __init__(self, now: Now, strike: Callable[[int], None]) -> None:
        self.told: tuple[int, str] = (0, "")
        self.kill_at: float | None = None  # on the monotonic clock
        self._now = now
        self._strike = strike
        self._attempt = ""  # whose grace time ends at `kill_at`, unless it is the worker's own
        self._ending = False

    def stop(self, attempt: str, reason: str, grace: float) -> bool:
        """SIGTERM for this call; False if it is not the one that runs. Of several reasons the first stays: it is what
        the call is told to have ended of."""
        running = self._now.running()
        if running is None or running.attempt != attempt:
            return False
        if attempt != self._attempt:
            self._attempt = attempt
            if not self._ending:
                self.kill_at = None  # of an earlier call: over, or this one would not run
            self.told = (running.sequence, reason)
            self._now.ask_stop(running.sequence, reason)
        self._ask(grace)
        return True

    def end(self, grace: float) -> None:
        """SIGTERM for the worker, whatever it does."""
        self._ending = True
        self._now.ask_end()
        self._ask(grace)

    def spare(self, attempt: str) -> None:
        """The call was over before its stop came."""
        if attempt == self._attempt and not self._ending:
            self.kill_at = None

    def on_time(self, now: float) -> None:
        """SIGKILL when the grace time is over; again and again, until somebody says that the worker is gone."""
        if self.kill_at is None or now < self.kill_at:
            return
        running = self._now.running()
        if not self._ending and running is not None and running.attempt != self._attempt:
            self.kill_at = None  # in a later call by now: it never heard the stop of the earlier one
            return
        self.kill_at = now + AGAIN
        self._strike(signal.SIGKILL)

    def _ask(self, grace: float) -> None:
        due = time.monotonic() + grace
        self.kill_at = due if self.kill_at is None else min(self.kill_at, due)
        self._strike(signal.SIGTERM)
        self._strike(signal.SIGCONT)  # a stopped process does not hear SIGTERM
