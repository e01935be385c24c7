"""Who waits for the end of tasks: each waiter is told once, when the end is durable."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class Watch:
    """Waiters by task id. The cost of a commit follows the ends that somebody waits for."""

    def __init__(self) -> None:
        self._waiters: dict[str, set[asyncio.Event]] = {}

    @contextmanager
    def on(self, ids: Iterable[str]) -> Iterator[asyncio.Event]:
        """An event that is set whenever one of the tasks ends. Clear it before looking at the tasks."""
        event = asyncio.Event()
        names = set(ids)
        for name in names:
            self._waiters.setdefault(name, set()).add(event)
        try:
            yield event
        finally:
            for name in names:
                waiters = self._waiters[name]
                waiters.discard(event)
                if not waiters:
                    del self._waiters[name]

    def ended(self, ids: Iterable[str]) -> None:
        """These tasks have ended."""
        if not self._waiters:
            return
        for name in ids:
            for event in self._waiters.get(name, ()):
                event.set()
