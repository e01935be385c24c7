"""How much memory this process has in RAM, now and at its highest during a call."""

from __future__ import annotations

import os
import resource
from typing import Final

_RESET: Final = b"5"  # to clear_refs: the highest mark of resident memory starts anew
_SLACK: Final = 4 << 20  # bytes: below that, two calls' peaks are as good as equal
_SHORT: Final = 0.001  # seconds, in which a call can touch a few MiB at most


def resident_bytes() -> int:
    """Memory of this process that is in RAM now; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _highest() -> int:
    """The mark that can be reset. `ru_maxrss` cannot: it also remembers the program that this process was before."""
    try:
        with open("/proc/self/status", "rb") as status:
            for line in status:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Peak:
    """The highest resident memory during one call. The mark is reset only after a call that raised it."""

    def __init__(self) -> None:
        self._floor = _highest()

    def take(self, seconds: float) -> int:
        """Bytes at the highest point of a call that took `seconds`. A very short one is not measured."""
        if seconds < _SHORT:
            return self._floor
        highest = _highest()
        if highest > self._floor + _SLACK:
            self._reset()
        return highest

    def _reset(self) -> None:
        try:
            with open("/proc/self/clear_refs", "wb") as marks:
                marks.write(_RESET)
        except OSError:
            return  # the system keeps no such mark: peaks are then those of the worker's life
        finally:
            self._floor = _highest()
