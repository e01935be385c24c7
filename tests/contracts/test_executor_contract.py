"""What every executor does, whatever it runs. The same tests over real processes and over the scripted one."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from executor_stage import LocalStage, ScriptedStage, process_gone, processes_of

from mcp_scheduler.core.events import Returned
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Attempt
from mcp_scheduler.core.states import Reason

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(params=["local", "scripted"])
async def stage(request, monkeypatch, anyio_backend):
    if request.param == "scripted":
        stage = ScriptedStage()
        await stage.open()
        yield stage
        await stage.close()
        return
    root = Path(tempfile.mkdtemp(prefix="x-", dir="/tmp"))  # a socket's path must be short
    monkeypatch.setenv("TMPDIR", str(root))  # the mark by which leaks are found
    stage = LocalStage(root)
    await stage.open()
    yield stage
    await stage.close()
    shutil.rmtree(root)
    for pid in processes_of(root):  # a shim that has just told the end of its worker is on its way out
        await process_gone(pid)
    assert not processes_of(root)


async def test_a_call_ends_with_its_result(stage):
    attempt = stage.call("echo", value=[1, {"a": "ä"}])

    outcome = await stage.end_of(attempt)

    assert outcome.reason is None
    assert outcome.result is not None
    assert outcome.result.decode("utf-8").replace(" ", "") in ('[1,{"a":"ä"}]', '[1,{"a":"\\u00e4"}]')


async def test_a_call_that_raises_ends_as_an_error_that_says_what(stage):
    outcome = await stage.end_of(stage.call("fail", text="the sky fell"))

    assert outcome.reason is Reason.ERROR
    assert "ValueError: the sky fell" in outcome.error
    assert outcome.result is None


async def test_an_attempt_that_is_launched_again_runs_once(stage):
    gate = stage.gate()
    attempt = stage.call("wait", **gate.arguments)
    await gate.reached()
    launch, payloads = _again(stage, attempt)
    stage.executor.launch(launch, payloads)
    gate.open()

    await stage.end_of(attempt)
    stage.executor.launch(launch, payloads)
    await stage.end_of(stage.call("echo", value=1))

    assert len(stage.ends(attempt)) == 1


async def test_what_is_flushed_is_sent_once(stage):
    await stage.end_of(stage.call("echo", value=0))  # from now on there is a worker to send to
    attempts = [stage.call("echo", value=number) for number in range(3)]
    stage.executor.flush()
    stage.executor.flush()

    for attempt in attempts:
        await stage.end_of(attempt)
    await stage.end_of(stage.call("echo", value=4))

    assert [len(stage.ends(attempt)) for attempt in attempts] == [1, 1, 1]


async def test_the_calls_of_a_slot_run_one_after_the_other(stage):
    first, second = stage.gate(), stage.gate()
    attempts = stage.calls("wait", [first.arguments, second.arguments])
    await first.reached()
    first.open()
    await stage.end_of(attempts[0])
    await second.reached()
    assert not stage.ends(attempts[1])
    second.open()

    assert (await stage.end_of(attempts[1])).result == b'"through"'


async def test_calls_of_different_slots_run_beside_each_other(stage):
    first, second = stage.gate(), stage.gate()
    attempts = [stage.call("wait", **gate.arguments) for gate in (first, second)]
    await first.reached()
    await second.reached()
    second.open()
    await stage.end_of(attempts[1])
    first.open()

    await stage.end_of(attempts[0])


async def test_a_cancelled_call_ends_as_cancelled(stage):
    gate = stage.gate()
    attempt = stage.call("wait", **gate.arguments)
    await gate.reached()

    stage.executor.stop(attempt, None)

    outcome = await stage.end_of(attempt)
    assert outcome.reason is Reason.CANCELLED
    assert outcome.result is None


async def test_a_call_that_is_stopped_for_its_timeout_ends_as_that(stage):
    gate = stage.gate()
    attempt = stage.call("wait", **gate.arguments)
    await gate.reached()

    stage.executor.stop(attempt, Reason.TIMEOUT)
    stage.executor.stop(attempt, Reason.TIMEOUT)

    assert (await stage.end_of(attempt)).reason is Reason.TIMEOUT


async def test_a_call_that_is_stopped_before_it_began_is_given_back(stage):
    gate = stage.gate()
    running, waiting = stage.calls("wait", [gate.arguments, gate.arguments])
    await gate.reached()

    stage.executor.stop(waiting, None)
    await stage.return_of(waiting)
    gate.open()

    assert (await stage.end_of(running)).reason is None
    assert not stage.ends(waiting)


async def test_stopping_what_is_not_there_reports_nothing(stage):
    stage.executor.stop(AttemptId("nobody", 3), None)
    attempt = stage.call("echo", value=1)
    await stage.end_of(attempt)
    stage.executor.stop(attempt, None)
    await stage.end_of(stage.call("echo", value=2))

    assert len(stage.ends(attempt)) == 1
    assert not [event for event in stage.events if event.attempt.task == "nobody"]


TREE = ["/bin/sh", "-c", "sleep 60 & setsid sleep 60 & wait"]  # three processes, one with a session of its own


async def test_a_paused_command_stands_still_with_all_its_processes_until_it_proceeds(stage):
    attempt = stage.command(TREE)
    await stage.moves(attempt, processes=3)
    stage.executor.pause(attempt)
    await stage.stands_still(attempt, processes=3)
    stage.executor.proceed(attempt)
    await stage.moves(attempt, processes=3)
    assert not stage.ends(attempt)


async def test_a_paused_command_can_be_cancelled(stage):
    attempt = stage.command(TREE)
    await stage.moves(attempt, processes=3)
    stage.executor.pause(attempt)
    await stage.stands_still(attempt, processes=3)
    stage.executor.stop(attempt, None)
    assert (await stage.end_of(attempt)).reason is Reason.CANCELLED


async def test_when_the_engine_goes_nothing_is_left_standing_still(stage):
    attempt = stage.command(TREE)
    await stage.moves(attempt, processes=3)
    stage.executor.pause(attempt)
    await stage.stands_still(attempt, processes=3)
    await stage.restart([attempt])
    await stage.moves(attempt, processes=3)
    stage.executor.pause(attempt)
    await stage.stands_still(attempt, processes=3)


async def test_a_function_that_gives_way_ends_as_yielded(stage):
    gate = stage.gate()
    attempt = stage.call("count_by_turns", **gate.arguments)
    await gate.reached()
    stage.executor.pause(attempt)
    outcome = await stage.end_of(attempt)
    assert outcome.reason is Reason.YIELDED
    assert outcome.result is None


async def test_a_call_that_is_paused_before_it_began_is_given_back(stage):
    attempt = stage.command(["/bin/true"])
    if isinstance(stage, ScriptedStage):
        stage.executor.stop(attempt, None)  # there a slot's first call begins at once
        gate = stage.gate()
        _, attempt = stage.calls("wait", [gate.arguments, gate.arguments])
    stage.executor.pause(attempt)
    await stage.return_of(attempt)
    assert not stage.ends(attempt)


async def test_a_recall_gives_back_what_has_not_begun_and_nothing_else(stage):
    gate = stage.gate()
    running, *waiting = stage.calls("wait", [gate.arguments] * 3)
    await gate.reached()

    stage.executor.recall(str(running))
    for attempt in waiting:
        await stage.return_of(attempt)
    gate.open()

    assert (await stage.end_of(running)).reason is None
    assert Returned(running) not in stage.events


async def test_a_slot_that_was_empty_for_a_while_takes_calls_again(stage):
    first = stage.call("echo", slot="s", value=1)
    await stage.end_of(first)

    assert (await stage.end_of(stage.call("echo", slot="s", value=2))).result == b"2"


async def test_an_end_that_was_not_settled_is_told_to_the_next_engine(stage):
    attempt = stage.call("echo", value=7)
    await stage.end_of(attempt)

    await stage.restart([attempt])

    assert (await stage.end_of(attempt)).result == b"7"


async def test_a_running_call_is_adopted_by_the_next_engine(stage):
    gate = stage.gate()
    attempt = stage.call("wait", **gate.arguments)
    await gate.reached()

    await stage.restart([attempt])
    assert Returned(attempt) not in stage.events
    assert not stage.ends(attempt)
    gate.open()

    assert (await stage.end_of(attempt)).result == b'"through"'


async def test_a_call_that_had_not_begun_is_given_back_to_the_next_engine(stage):
    gate = stage.gate()
    running, waiting = stage.calls("wait", [gate.arguments, gate.arguments])
    await gate.reached()

    await stage.restart([running, waiting])
    await stage.return_of(waiting)
    gate.open()

    assert (await stage.end_of(running)).reason is None


async def test_an_attempt_that_never_arrived_is_given_back(stage):
    never = AttemptId("never-sent", 1)
    stage.launches[never] = Attempt(never, "s", "local", 0.0)

    await stage.restart([never])

    await stage.return_of(never)
    del stage.launches[never]


async def test_an_adopted_call_can_be_stopped(stage):
    gate = stage.gate()
    attempt = stage.call("wait", **gate.arguments)
    await gate.reached()
    await stage.restart([attempt])

    stage.executor.stop(attempt, Reason.TIMEOUT)

    assert (await stage.end_of(attempt)).reason is Reason.TIMEOUT


async def test_a_settled_end_is_forgotten(stage):
    attempt = stage.call("echo", value=1)
    await stage.end_of(attempt)
    stage.executor.settle([attempt])

    await stage.restart([])

    assert not stage.events


async def test_what_runs_and_is_not_asked_for_is_ended_without_a_word(stage):
    gate = stage.gate()
    attempt = stage.call("wait", **gate.arguments)
    await gate.reached()

    await stage.restart([])
    await stage.end_of(stage.call("echo", value=1))

    assert not stage.ends(attempt)
    stage.executor.stop(attempt, None)
    del stage.launches[attempt]


def _again(stage, attempt):
    """The same launch as before."""
    from mcp_scheduler.core.changes import Launch
    from mcp_scheduler.core.task import Kind, Terms

    terms = Terms(Kind.FUNCTION, "sample_functions.echo", "here", "tester")
    payload = b'{"function":"sample_functions.echo","arguments":{"value":0}}'
    return Launch(stage.launches[attempt].slot, "local", terms, (attempt,)), {attempt: payload}
