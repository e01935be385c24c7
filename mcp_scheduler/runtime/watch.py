"""Who waits for the end of tasks: each waiter is told once, when the end is durable."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable
from contextlib import contextmanager


class Waiter:
    """`event` is set whenever one of the names has ended; `ends` counts how often that was (a task that is retried
    ends again), `is_late` tells that the time is up. Clear the event before looking at the tasks."""

    __slots__ = ("ends", "event", "is_late")

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.ends = 0
        self.is_late = False

    def give_up(self) -> None:
        """Wait no longer."""
        self.is_late = True
        self.event.set()


class Watch:
    """Waiters by the id of a task or group. The cost of a commit follows the ends that somebody waits for."""

    def __init__(self) -> None:
        self._waiters: dict[str, set[Waiter]] = {}

    @contextmanager
    def on(self, ids: Iterable[str]) -> Generator[Waiter]:
        """A waiter for the ends of these tasks and groups."""
        waiter = Waiter()
        names = set(ids)
        for name in names:
            self._waiters.setdefault(name, set()).add(waiter)
        try:
            yield waiter
        finally:
            for name in names:
                waiters = self._waiters[name]
                waiters.discard(waiter)
                if not waiters:
                    del self._waiters[name]

    def ended(self, ids: Iterable[str]) -> None:
        """These tasks and groups have ended."""
        if not self._waiters:
            return
        for name in ids:
            for waiter in self._waiters.get(name, ()):
                waiter.ends += 1
                waiter.event.set()
