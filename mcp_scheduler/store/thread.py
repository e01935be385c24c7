"""One thread for all writes. Whoever waits for one waits to its end, cancelled or not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import anyio

P = ParamSpec("P")
T = TypeVar("T")


async def to_the_end(future: asyncio.Future[T]) -> T:
    """The future's outcome. A cancellation is delivered when the work is over: what was begun is never left half-way,
    and nothing is still being written when the caller goes on."""
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not future.done():
            try:
                await asyncio.wait((future,))
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        raise cancelled from (None if future.cancelled() else future.exception())
    return future.result()


class WriterThread:
    """Runs one thing after the other, in the order of asking."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-writer")
        self._waiting = 0

    @property
    def busy(self) -> bool:
        """More than what runs now has been asked for. Meant for what runs now."""
        return self._waiting > 1

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self._waiting += 1
        try:
            future = self._executor.submit(work, *args, **kwargs)
            return await to_the_end(asyncio.wrap_future(future))
        finally:
            self._waiting -= 1

    def follow(self, work: Callable[[], None]) -> None:
        """Runs `work` after what has been asked for. Nobody waits for it: it tells of its failures itself."""
        self._executor.submit(work)

    def end(self) -> None:
        """Takes no more work. What was asked for is still done; nobody waits for the thread here."""
        self._executor.shutdown(wait=False)
