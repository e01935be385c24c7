"""When a worker gives way to a fresh one: its code has changed, it has grown, or it has run long enough."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import cache_from_source
from pathlib import Path
from typing import Final

from mcp_scheduler.sdk.memory import resident_bytes

CHECK_INTERVAL: Final = 1.0  # seconds
PAUSE: Final = 0.02  # seconds without a call: time enough to save a file
_STDLIB: Final = os.path.dirname(os.__file__) + os.sep
_INSTALLED: Final = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")

Stamp = tuple[int, int]  # modification time in nanoseconds, size


class Code:
    """The user's own module files that this process has loaded: not the standard library, not installed packages."""

    def __init__(self, ours: str) -> None:
        self._ours = ours.rstrip(os.sep) + os.sep
        self._files: dict[str, Stamp] = {}
        self._modules_seen = 0

    def look(self) -> None:
        """Take note of modules loaded since the last look."""
        if len(sys.modules) == self._modules_seen:
            return
        self._modules_seen = len(sys.modules)
        for file in self._loaded_files():
            if file not in self._files:
                self._files[file] = _stamp(file)

    def fingerprint(self) -> str:
        """Names the state of the code noted so far: changes with any file's path, time or size."""
        lines = "\n".join(f"{file} {stamp}" for file, stamp in sorted(self._files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()[:16]

    def changed(self) -> str:
        """A file that is no longer what was loaded, or "". Its cached byte code goes: within one second of a write it
        can pass for fresh."""
        for file, stamp in list(self._files.items()):  # asked by either thread
            if _stamp(file) != stamp:
                with contextlib.suppress(OSError, NotImplementedError):
                    Path(cache_from_source(file)).unlink()
                return file
        return ""

    def _loaded_files(self) -> Iterator[str]:
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and self._is_users(file):
                yield file

    def _is_users(self, file: str) -> bool:
        foreign = file.startswith((_STDLIB, self._ours)) or any(mark in file for mark in _INSTALLED)
        return file.endswith(".py") and not foreign


def _stamp(file: str) -> Stamp:
    try:
        found = os.stat(file)
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)


class Renewal:
    """Asked before each call, and told after it. Calls that follow each other are not kept up: while they do, it looks
    at the world once a second. After a pause it looks at the code at once: somebody may have mended it, and tries."""

    def __init__(
        self, code: Code, *, most_calls: int, most_growth: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._code = code
        self._calls_left = most_calls
        self._most_growth = most_growth
        self._clock = clock
        self._first_resident = resident_bytes()
        self._next_check = clock() + CHECK_INTERVAL
        self._rests_since = clock()

    def due(self) -> str:
        """Why this worker should run no further call, or ""."""
        self._calls_left -= 1
        if self._calls_left < 0:
            return "it has run its number of calls"
        now = self._clock()
        is_time = now >= self._next_check
        if not is_time and now < self._rests_since + PAUSE:
            return ""
        changed = self._code.changed()
        if changed:
            return f"code changed: {changed}"
        if not is_time:
            return ""
        self._next_check = now + CHECK_INTERVAL
        growth = resident_bytes() - self._first_resident
        return f"its memory grew by {growth >> 20} MiB" if growth > self._most_growth else ""

    def rests(self) -> None:
        """A call is over. What it has loaded is noted as it is now, before anybody changes it."""
        self._code.look()
        self._rests_since = self._clock()
