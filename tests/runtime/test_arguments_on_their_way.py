"""A `$result` is replaced by the result just before the call is handed over."""

import asyncio
import json

import pytest

from mcp_scheduler import errors
from mcp_scheduler.core.events import CancelAsked, Outcome, Submitted
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.runtime.payloads import KEEP_EACH
from tests.runtime.rig import Rig

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch):
    monkeypatch.setattr("mcp_scheduler.runtime.effects._AGAIN", 0.01)


async def handed_over(arguments, results, after=None):
    """What a task gets that waits for tasks with these results."""
    async with Rig(cpus=8) as rig:
        for name, result in results.items():
            text = json.dumps(result).encode()
            rig.executor.plan(name, Outcome(result=text))
        last = rig.new("last", after=after or " ".join(results), **arguments)
        await rig.loop.ask(Submitted([*(rig.new(name) for name in results), last]))
        await rig.until(lambda: AttemptId("last", 1) in rig.executor.launched or rig.state("last").value == "failed")
        if AttemptId("last", 1) not in rig.executor.launched:
            return rig.cluster.tasks["last"].status
        return rig.arguments("last")


async def test_a_whole_result():
    assert await handed_over({"x": {"$result": "a"}, "y": 1}, {"a": [1, 2]}) == {"x": [1, 2], "y": 1}


async def test_a_part_of_a_result_by_its_path():
    given = {"x": {"$result": "a", "path": "items[1].name"}}
    assert await handed_over(given, {"a": {"items": [{"name": "n0"}, {"name": "n1"}]}}) == {"x": "n1"}


async def test_a_reference_deep_inside_the_arguments():
    given = {"x": [{"deep": [{"$result": "a"}]}]}
    assert await handed_over(given, {"a": "found"}) == {"x": [{"deep": ["found"]}]}


async def test_a_stretch_of_dependencies_as_a_list():
    given = {"x": {"$result": [1, 3]}}
    assert await handed_over(given, {"a": 1, "b": 2, "c": 3, "d": 4}) == {"x": [2, 3]}


async def test_a_path_over_a_stretch():
    given = {"x": {"$result": [0, 2], "path": "[].n"}}
    assert await handed_over(given, {"a": {"n": 1}, "b": {"n": 2}}) == {"x": [1, 2]}


async def test_a_path_that_finds_nothing_gives_null_as_jmespath_has_it():
    assert await handed_over({"x": {"$result": "a", "path": "nowhere"}}, {"a": {"n": 1}}) == {"x": None}


async def test_a_path_that_does_not_fit_ends_the_task_as_rejected():
    status = await handed_over({"x": {"$result": "a", "path": "abs(n)"}}, {"a": {"n": "text"}})
    assert (status.state, status.reason) == (State.FAILED, Reason.REJECTED)
    assert "does not fit the result of a" in status.error


async def test_a_result_that_looks_like_a_reference_is_left_alone():
    assert await handed_over({"x": {"$result": "a"}}, {"a": {"$result": "b"}}) == {"x": {"$result": "b"}}


async def test_a_result_in_a_file_is_read_from_there():
    async with Rig() as rig:
        rig.files.results["f" * 64] = b'{"big": true}'
        rig.executor.plan("a", Outcome(result_file="f" * 64, result_size=13))
        await rig.submit("a")
        await rig.submit("b", after="a", x={"$result": "a", "path": "big"})
        await rig.until(lambda: AttemptId("b", 1) in rig.executor.launched)
        assert rig.arguments("b") == {"x": True}


async def test_a_large_call_stays_in_the_store_until_it_is_needed():
    async with Rig() as rig:
        await rig.submit("a", text="x" * (KEEP_EACH + 1))
        await rig.until(lambda: AttemptId("a", 1) in rig.executor.launched)
        assert rig.disk.reads == 1
        assert len(rig.arguments("a")["text"]) == KEEP_EACH + 1


async def test_after_a_start_the_calls_of_a_window_are_read_at_once():
    async with Rig(cpus=1) as rig:
        await rig.submit("teacher")
        rig.executor.end(AttemptId("teacher", 1), Outcome(seconds=0.0001))
        await rig.ended("teacher")
        new = [rig.new(f"t{number}", number=number) for number in range(50)]
        rig.payloads.keep = lambda *_: None  # nothing is at hand, as after a start
        rig.payloads.load = remembering(rig)
        await rig.loop.ask(Submitted(new))
        await rig.until(lambda: AttemptId("t49", 1) in rig.executor.launched)
        assert rig.disk.reads == 1
        assert rig.arguments("t49") == {"number": 49}


def remembering(rig):
    """The real `load`, which may keep again."""

    async def load(tasks):
        del rig.payloads.keep
        await type(rig.payloads).load(rig.payloads, tasks)

    return load


async def test_a_store_that_cannot_be_read_just_now_is_no_fault_of_the_task():
    async with Rig() as rig:
        rig.disk.read_refusals += [errors.StoreUnavailable("busy"), errors.StoreUnavailable("busy")]
        await rig.submit("a", text="x" * (KEEP_EACH + 1))
        await rig.until(lambda: AttemptId("a", 1) in rig.executor.launched)
        assert rig.state("a") is State.RUNNING


async def test_a_task_that_is_cancelled_while_its_arguments_are_fetched_never_reaches_the_executor():
    async with Rig() as rig:
        reading, go_on = asyncio.Event(), asyncio.Event()
        real = rig.disk.payloads

        async def slow(ids):
            reading.set()
            await go_on.wait()
            return await real(ids)

        rig.disk.payloads = slow
        await rig.submit("a", text="x" * (KEEP_EACH + 1))
        await reading.wait()
        await rig.loop.ask(CancelAsked(("a",)))
        go_on.set()
        await rig.ended("a")
        assert rig.state("a") is State.CANCELLED
        assert not rig.executor.launched


async def test_a_result_that_is_pushed_out_of_memory_while_others_are_read_is_not_lost(monkeypatch):
    async with Rig() as rig:
        real = rig.disk.results

        async def pushing_out(ids):
            found = await real(ids)
            rig.payloads._results.clear()
            return found

        rig.disk.results = pushing_out
        rig.executor.plan("small", Outcome(result=b'"kept"'))
        rig.executor.plan("large", Outcome(result=json.dumps("x" * (KEEP_EACH + 1)).encode()))
        await rig.submit("small")
        await rig.submit("large")
        await rig.ended("small")
        await rig.ended("large")
        assert (await rig.payloads.results(["small", "large"]))[0] == "kept"
