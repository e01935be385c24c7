"""The thread of all writes: in order, to the end, and never gone while the store is open."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from mcp_scheduler.store.thread import WriterThread

pytestmark = pytest.mark.anyio
LIMIT = 5.0  # seconds


@pytest.fixture
def thread() -> Iterator[WriterThread]:
    writer = WriterThread()
    yield writer
    writer.end()


async def test_what_is_asked_for_is_done_in_the_order_of_asking(thread: WriterThread) -> None:
    done: list[int] = []
    runs = [thread.run(done.append, number) for number in range(20)]
    asked = [asyncio.ensure_future(run) for run in runs]
    await asyncio.sleep(0)
    thread.follow(lambda: done.append(20))
    await asyncio.wait_for(asyncio.gather(*asked, thread.run(done.append, 21)), LIMIT)
    assert done == list(range(22))


async def test_a_failure_is_raised_where_it_is_waited_for(thread: WriterThread) -> None:
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(thread.run(divmod, 1, 0), LIMIT)
    assert await asyncio.wait_for(thread.run(divmod, 7, 2), LIMIT) == (3, 1)


async def test_what_follows_a_commit_may_fail_without_ending_the_thread(thread: WriterThread, caplog) -> None:
    thread.follow(lambda: {}["nothing"])
    assert await asyncio.wait_for(thread.run(divmod, 7, 2), LIMIT) == (3, 1)
    assert "KeyError" in caplog.text


async def test_a_cancelled_caller_waits_to_the_end_and_learns_how_it_was(thread: WriterThread) -> None:
    begun, gate, over = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        gate.wait(LIMIT)
        over.set()
        raise ZeroDivisionError

    asked = asyncio.ensure_future(thread.run(work))
    await asyncio.to_thread(begun.wait, LIMIT)
    for _ in range(3):  # however often
        asked.cancel()
        await asyncio.sleep(0)
        assert not asked.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError) as told:
        await asked
    assert over.is_set()
    assert isinstance(told.value.__cause__, ZeroDivisionError)


async def test_a_thread_that_has_more_to_do_says_so(thread: WriterThread) -> None:
    gate = threading.Event()
    first = asyncio.ensure_future(thread.run(gate.wait, LIMIT))
    await asyncio.sleep(0)
    assert not thread.busy
    second = asyncio.ensure_future(thread.run(int))
    await asyncio.sleep(0)
    assert thread.busy
    gate.set()
    await asyncio.wait_for(asyncio.gather(first, second), LIMIT)
    assert not thread.busy
