"""The worker's stdout and stderr: kept whole whatever user code does to them, and told apart by call."""

from __future__ import annotations

import fcntl
import os
import stat
import sys
import termios
import time
from typing import Any, Final

from mcp_scheduler.sdk.now import Now

LOWEST_PRIVATE: Final = 100  # our own descriptors lie above those that user code closes and reuses
_NOTHING: Final = bytearray(4)
PATIENCE: Final = 1.0  # seconds to wait for a shim that carries output slowly, or not at all


def private(fd: int) -> int:
    """A copy of `fd` that children do not inherit and user code does not hit by accident."""
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, LOWEST_PRIVATE)


class Output:
    """Descriptors 1 and 2 and the files over them, as they are at the start and again after every call."""

    def __init__(self) -> None:
        self._private = {fd: private(fd) for fd in (1, 2)}
        self._inodes = (os.fstat(1).st_ino, os.fstat(2).st_ino)
        self._pipes = [copy for copy in self._private.values() if stat.S_ISFIFO(os.fstat(copy).st_mode)]
        self._waiting = bytearray(4)
        self._open_files()

    def _open_files(self) -> None:
        self._stdout = sys.stdout = _text_file(1)
        self._stderr = sys.stderr = _text_file(2)

    def restore(self) -> None:
        """Undo what a call did to its output: closed, redirected or replaced files."""
        if not self._are_kept():
            for fd, copy in self._private.items():
                os.dup2(copy, fd)
        if self._stdout.closed or self._stderr.closed:
            self._open_files()
        if sys.stdout is not self._stdout or sys.stderr is not self._stderr:
            sys.stdout, sys.stderr = self._stdout, self._stderr

    def _are_kept(self) -> bool:
        try:
            return (os.fstat(1).st_ino, os.fstat(2).st_ino) == self._inodes
        except OSError:
            return False

    def drain(self, now: Now) -> None:
        """Return when all that was printed is in the call's files, or the shim has taken too long."""
        try:
            self._stdout.flush()
            self._stderr.flush()
        except (OSError, ValueError):
            self._open_files()  # what could not be written, to a pipe that a thread has closed, is lost
        if self._is_drained(now):
            return
        patience_ends = time.monotonic() + PATIENCE
        pause = 0.00005
        while not self._is_drained(now) and time.monotonic() < patience_ends:
            time.sleep(pause)
            pause = min(pause * 2, 0.005)

    def _is_drained(self, now: Now) -> bool:
        for pipe in self._pipes:
            fcntl.ioctl(pipe, termios.FIONREAD, self._waiting)
            if self._waiting != _NOTHING:
                return False
        return not now.pumping  # asked last: the shim raises it before it empties the pipe


def _text_file(fd: int) -> Any:
    return open(fd, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
