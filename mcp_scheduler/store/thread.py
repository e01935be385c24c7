"""One thread for all writes. Whoever waits for one waits to its end, cancelled or not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Generic, ParamSpec, TypeVar, cast

import anyio

log = logging.getLogger("mcp_scheduler.store")

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


class _Piece(Generic[T]):
    """A piece of work on its way through the thread, and who waits for it in the event loop.

    Of what every commit waits for there is as little as can be: the thread wakes the loop once, and what the loop then
    calls wakes the one who waits.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._loop = asyncio.get_running_loop()
        self._work = work
        self._waiter: asyncio.Future[None] = self._loop.create_future()
        self._is_over = False
        self._value: T | None = None
        self._error: BaseException | None = None

    def do(self) -> None:
        """In the thread."""
        try:
            self._value = self._work()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            self._error = error

    def tell(self) -> None:
        """In the thread, which has nothing of this piece in its hands any more."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._over)

    def _over(self) -> None:
        self._is_over = True
        if not self._waiter.done():
            self._waiter.set_result(None)

    async def outcome(self) -> T:
        """What the work returned or raised. Cancelled meanwhile, it still is waited for."""
        cancelled: asyncio.CancelledError | None = None
        try:
            await self._waiter
        except asyncio.CancelledError as error:
            cancelled = await self._in_spite_of(error)
        error = self._error
        try:
            if cancelled is not None:
                raise cancelled from error
            if error is not None:
                raise error
        finally:
            self._error = error = cancelled = None  # no circle of an error and the frames in its traceback
        return cast("T", self._value)

    async def _in_spite_of(self, cancelled: asyncio.CancelledError) -> asyncio.CancelledError:
        """Wait on; the last cancellation."""
        with anyio.CancelScope(shield=True):
            while not self._is_over:
                self._waiter = self._loop.create_future()
                try:
                    await self._waiter
                except asyncio.CancelledError as error:
                    cancelled = error
        return cancelled


class WriterThread:
    """Runs one thing after the other, in the order of asking."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[Callable[[], None], Callable[[], None]] | None] = SimpleQueue()
        self._waiting = 0
        self._put = 0  # pieces of work, counted in the event loop
        self._done = 0  # and in the thread: no number is changed by both
        # A daemon: a program that ends without closing its store has no answer to wait for.
        threading.Thread(target=self._serve, name="store-writer", daemon=True).start()

    @property
    def busy(self) -> bool:
        """More than what runs now has been asked for. Meant for what runs now."""
        return self._waiting > 1

    @property
    def is_idle(self) -> bool:
        """Nothing is under way or asked for: until the loop asks for more, the thread touches nothing."""
        return self._put == self._done

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self._waiting += 1
        try:
            piece = _Piece(partial(work, *args, **kwargs))
            self._put += 1
            self._queue.put((piece.do, piece.tell))
            return await piece.outcome()
        finally:
            self._waiting -= 1

    def follow(self, work: Callable[[], None]) -> None:
        """Runs `work` after what has been asked for. Nobody waits for it: it tells of its failures itself."""
        self._put += 1
        self._queue.put((work, _nothing))

    def end(self) -> None:
        """Takes no more work. What was asked for is still done; nobody waits for the thread here."""
        self._queue.put(None)

    def _serve(self) -> None:
        while (asked := self._queue.get()) is not None:
            work, tell = asked
            try:
                work()
            except Exception:  # a thread that has ended would let every commit wait for ever
                log.exception("What was to be done beside the commits has failed.")
            self._done += 1  # before it is told: whoever hears of it may find the thread idle
            tell()
            del asked, work, tell  # nothing of it is held while the next is waited for


def _nothing() -> None:
    """To be told to nobody."""
