"""Being asked to stop: SIGTERM becomes an exception in the call that it is meant for, and in no other."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

from mcp_scheduler.sdk.now import Now

# Asked after every call: without `signal`'s dressing up as an enumeration, which takes ten times as long.
SIGTERM: Final = int(signal.SIGTERM)
_installed: Callable[[int], Any] = sys.modules.get("_signal", signal).getsignal


class Stopped(BaseException):
    """This call was asked to stop. Not an Exception, so that `except Exception` lets it pass."""


class Stops:
    """Catches SIGTERM in the main thread. The now file says which run the stop is for: one that comes late hits none.

    `reason` is why the current call was asked to stop ("" if it was not), `ending` that the worker is to end.
    """

    def __init__(self, now: Now, wake: Callable[[], None]) -> None:
        self._now = now
        self._wake = wake
        self._sequence = 0
        self._armed = False
        self._shielded = False
        self._cancel: Callable[[], object] | None = None
        self.reason = ""
        self.ending = False
        self._catch = self._on_term  # one object: told apart by identity
        self.install()

    def install(self) -> None:
        """Listen, again if user code has put something else there."""
        if _installed(SIGTERM) is not self._catch:
            signal.signal(signal.SIGTERM, self._catch)

    def arm(self, sequence: int) -> None:
        """From here on a stop of this run raises Stopped. One that came since it began is raised now."""
        self._sequence = sequence
        self.reason = ""
        self._armed = True
        if self._now.stop_asked[0] == sequence or self._now.end_asked or self.ending:
            self._on_term()

    def disarm(self) -> None:
        """No stop is raised any more."""
        self._armed = False

    def asked(self) -> bool:
        """The current call should end. Asks the now file: the main thread may be too busy to take the signal."""
        return bool(self.reason) or self._now.stop_asked[0] == self._sequence or self._now.end_asked

    @contextmanager
    def cancelling(self, cancel: Callable[[], object]) -> Generator[None]:
        """Inside, a stop calls `cancel` instead of raising."""
        self._cancel = cancel
        try:
            if self.reason:
                cancel()
            yield
        finally:
            self._cancel = None

    @contextmanager
    def shield(self) -> Generator[None]:
        """Inside, in the main thread, a stop waits: half a frame on the wire would break the stream."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._shielded = True
        try:
            yield
        finally:
            self._shielded = False
        if self.reason and self._armed:
            self._interrupt()

    def _on_term(self, *_: Any) -> None:
        sequence, reason = self._now.stop_asked
        if reason and sequence == self._sequence:
            self.reason = reason
        elif self._now.end_asked:
            self.reason = "cancelled"
        elif not reason:  # nobody asked through the now file: somebody outside sent the signal
            self.reason = "crashed"  # the call is not to blame
        else:
            return  # late: the run it was meant for is over
        if self._now.end_asked or not reason:
            self.ending = True
            self._wake()
        if self._armed and not self._shielded:
            self._interrupt()

    def _interrupt(self) -> None:
        if self._cancel is not None:
            self._cancel()
            return
        self._armed = False
        raise Stopped(self.reason)
