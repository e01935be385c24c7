"""Files of results that no task has go, and no other ever does."""

import asyncio
import contextlib

import pytest

from mcp_scheduler.core.events import Outcome, Submitted
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.task import Extras
from mcp_scheduler.errors import StoreUnavailable
from mcp_scheduler.runtime.leavings import Leavings
from tests.core.builders import terms
from tests.runtime.rig import Rig

pytestmark = pytest.mark.anyio

WON, LOST, OTHER = "a" * 64, "b" * 64, "c" * 64


@contextlib.asynccontextmanager
async def cleared(rig, *files):
    """Leavings at work, beside the rig's loop, over these files."""
    rig.files.results.update((file, b"1") for file in files)
    leavings = Leavings(rig.cluster, rig.disk, rig.files)
    rig.loop.on_commit.append(leavings.committed)
    working = asyncio.create_task(leavings.run())
    yield leavings
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working


async def start_two(rig):
    """A task with two copies."""
    new = rig.new("a", terms(idempotent=True))
    new.task.extras = Extras(replicas=2)
    await rig.loop.ask(Submitted([new]))
    await rig.until(lambda: len(rig.executor.running) == 2)


def large(file):
    return Outcome(result_file=file, result_size=70_000)


async def test_what_a_beaten_copy_has_returned_goes_as_soon_as_it_is_gone():
    async with Rig() as rig, cleared(rig):
        await start_two(rig)
        rig.files.results |= {WON: b"1", LOST: b"2"}
        rig.executor.end(AttemptId("a", 1), large(WON))
        rig.executor.end(AttemptId("a", 2), large(LOST))
        await rig.until(lambda: rig.cluster.tail)
        await rig.until(lambda: LOST not in rig.files.results)
        assert list(rig.files.results) == [WON]


async def test_what_both_have_returned_stays():
    async with Rig() as rig, cleared(rig) as leavings:
        await start_two(rig)
        rig.files.results[WON] = b"1"
        rig.executor.end(AttemptId("a", 1), large(WON))
        rig.executor.end(AttemptId("a", 2), large(WON))
        await rig.until(lambda: not rig.cluster.attempts)
        assert await leavings.clear() == 0
        assert list(rig.files.results) == [WON]


async def test_nothing_goes_while_anything_is_under_way_that_may_return_the_same():
    async with Rig(cpus=3) as rig, cleared(rig) as leavings:
        await start_two(rig)
        await rig.submit("b")
        rig.files.results |= {WON: b"1", LOST: b"2"}
        rig.executor.end(AttemptId("a", 1), large(WON))
        rig.executor.end(AttemptId("a", 2), large(LOST))
        await rig.until(lambda: list(rig.cluster.attempts) == [AttemptId("b", 1)])
        assert await leavings.clear() == 0
        rig.executor.end(AttemptId("b", 1), large(LOST))
        await rig.ended("b")
        assert await leavings.clear() == 0
        assert sorted(rig.files.results) == [WON, LOST]


async def test_an_engine_that_starts_takes_away_what_the_last_one_has_left():
    async with Rig() as rig:
        rig.executor.plan("a", large(WON))
        rig.files.results[WON] = b"1"
        await rig.submit("a")
        await rig.ended("a")
        async with cleared(rig, OTHER, *(f"{number:064x}" for number in range(1200))):
            await rig.until(lambda: list(rig.files.results) == [WON])


async def test_a_store_that_cannot_be_read_keeps_all_of_them_for_the_next_time():
    async with Rig() as rig, cleared(rig) as leavings:
        rig.files.results[OTHER] = b"1"
        rig.disk.named_refusals.append(StoreUnavailable("The disk is gone."))
        leavings._files[OTHER] = None
        with pytest.raises(StoreUnavailable):
            await leavings.clear()
        assert await leavings.clear() == 1
        assert rig.files.results == {}


async def test_what_is_handed_on_goes_when_nothing_is_under_way_unless_a_task_has_it_by_then():
    async with Rig() as rig, cleared(rig) as leavings:
        await rig.submit("a")
        await rig.until(lambda: rig.executor.running)
        rig.files.results |= {WON: b"1", OTHER: b"2"}
        leavings.add([WON, OTHER])
        assert await leavings.clear() == 0
        rig.executor.end(AttemptId("a", 1), large(WON))
        await rig.until(lambda: OTHER not in rig.files.results)
        assert list(rig.files.results) == [WON]


async def test_where_nothing_is_under_way_it_goes_at_once():
    async with Rig() as rig, cleared(rig) as leavings:
        rig.files.results |= {OTHER: b"2"}
        leavings.add([OTHER])
        await rig.until(lambda: not rig.files.results)
