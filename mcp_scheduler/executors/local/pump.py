"""Carries what a worker prints from its pipe into the log of the attempt that printed it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from mcp_scheduler.executors.local.log import Log

CHUNK = 1 << 16
TURN = 16  # chunks at a time: a call that floods its pipe must not keep the shim from hearing a stop


class Pump:
    """One stream of one worker or command. `place` names the log of an attempt ("" for output outside of any call),
    `heard` is given what was read."""

    def __init__(
        self, place: Callable[[str], Path], caps: tuple[int, int], heard: Callable[[bytes], None] | None = None
    ) -> None:
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)
        self._place = place
        self._caps = caps
        self._heard = heard
        self._owner = ""
        self._log: Log | None = None

    def carry(self, owner: str) -> bool:
        """Move what the pipe holds, at most a turn, into the owner's log. False when nobody can write any more."""
        for _ in range(TURN):
            try:
                chunk = os.read(self.reading, CHUNK)
            except BlockingIOError:
                return True
            if not chunk:
                return False
            self._write(owner, chunk)
            if self._heard is not None:
                self._heard(chunk)
        return True

    def _write(self, owner: str, chunk: bytes) -> None:
        try:
            if self._log is None or owner != self._owner:
                self._turn_to(owner)
            assert self._log is not None
            self._log.write(chunk)
        except OSError:
            # A full disk costs the output, never the call: the pipe must be emptied or the call would hang in print.
            return

    def _turn_to(self, owner: str) -> None:
        self.release()
        self._log = Log(self._place(owner), *self._caps)
        self._owner = owner

    def release(self) -> None:
        """Close the log that is open; the next byte opens one again."""
        if self._log is not None:
            self._log.close()
            self._log = None
