"""Whether a commit is written on the spot, by the event loop itself, or handed to the writer's thread.

To hand it over and to hear of its end wakes two threads that sleep: an eighth of what a lone call takes. Whoever is
alone gains by doing without. Where others are about, the loop works while the thread waits for the disk, and that is
worth more. So it is measured: how much the loop works while the thread writes. Where it has nothing to do then, the
next commits are written on the spot, except every `PROBE`-th one, which shows whether that is still so.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from mcp_scheduler.core.changes import Changes

ROWS: Final = 16
BYTES: Final = 64 * 1024
LITTLE: Final = 0.0003  # seconds of work; to put a commit into the thread's hands and to be woken is half of it
QUICK: Final = 0.005  # seconds; a loop that waits longer for the disk keeps those waiting who only want to read
SEEN: Final = 9  # commits of the thread: the choice goes by the median
PROBE: Final = 16


class Spot:
    """The choice, for one store. Asked and told in the event loop's thread. `wall` and `cpu` are that thread's clocks,
    in seconds."""

    def __init__(
        self, wall: Callable[[], float] = time.perf_counter, cpu: Callable[[], float] = time.thread_time
    ) -> None:
        self._wall = wall
        self._cpu = cpu
        self._idle: deque[bool] = deque(maxlen=SEEN)  # of the thread's last commits: was the loop idle meanwhile
        self._in_a_row = 0

    def takes(self, changes: Changes) -> bool:
        """Whether to write these here and now."""
        idle = 2 * sum(self._idle) > SEEN  # too few seen: no
        if not idle or self._in_a_row >= PROBE - 1 or not _is_small(changes):
            self._in_a_row = 0
            return False
        self._in_a_row += 1
        return True

    @contextmanager
    def watched(self) -> Generator[None]:
        """Around a commit of the thread that is waited for."""
        begin, worked = self._wall(), self._cpu()
        yield
        took, worked = self._wall() - begin, self._cpu() - worked
        self._idle.append(worked <= LITTLE and took <= QUICK)


def _is_small(changes: Changes) -> bool:
    if len(changes.added) + len(changes.statuses) + len(changes.ended) > ROWS:
        return False
    sizes = sum(len(new.payload) for new in changes.added)
    return sizes + sum(len(one.outcome.result or b"") for one in changes.ended) <= BYTES
