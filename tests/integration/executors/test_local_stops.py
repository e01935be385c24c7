"""Cancel and timeout leave no process behind."""

from __future__ import annotations

import os
import signal

import pytest
from executor_stage import LocalStage, is_alive, process_gone, processes_of

from mcp_scheduler.core.events import Returned
from mcp_scheduler.core.states import Reason
from mcp_scheduler.executors.local.limits import Limits

pytestmark = pytest.mark.anyio


@pytest.fixture
async def hasty(root, leak_check, anyio_backend):
    """A stage on which a call has a fifth of a second to end by itself."""
    stage = LocalStage(root, Limits(grace=0.2))
    await stage.open()
    yield stage
    await stage.close()


async def test_a_call_that_ignores_the_stop_is_killed_after_the_grace_time(hasty):
    gate = hasty.gate()
    attempt = hasty.call("ignore_stop", **gate.arguments)
    pid = await gate.reached()

    hasty.executor.stop(attempt, Reason.TIMEOUT)

    outcome = await hasty.end_of(attempt)
    assert outcome.reason is Reason.TIMEOUT
    assert outcome.signal == signal.SIGKILL
    assert not is_alive(pid)


async def test_a_stopped_process_hears_the_stop(hasty):
    gate = hasty.gate()
    attempt = hasty.call("wait", **gate.arguments)
    os.kill(await gate.reached(), signal.SIGSTOP)

    hasty.executor.stop(attempt, None)

    assert (await hasty.end_of(attempt)).reason is Reason.CANCELLED


async def test_a_daemon_with_a_session_of_its_own_is_gone_when_the_end_is_reported(stage):
    gate, daemon = stage.gate(), stage.gate()
    attempt = stage.call("leave_daemon", gate=gate.arguments["gate"], began=daemon.arguments["began"])
    pid = await daemon.reached()

    stage.executor.stop(attempt, None)

    assert (await stage.end_of(attempt)).reason is Reason.CANCELLED
    assert not is_alive(pid)


async def test_a_stop_leaves_the_calls_of_other_workers_alone(stage):
    first, second = stage.gate(), stage.gate()
    stopped, other = stage.call("wait", **first.arguments), stage.call("wait", **second.arguments)
    await first.reached()
    await second.reached()

    stage.executor.stop(stopped, None)
    await stage.end_of(stopped)
    second.open()

    assert (await stage.end_of(other)).reason is None


async def test_a_stop_that_races_with_the_end_of_its_call_hits_no_other_call(stage):
    for _ in range(20):
        first, *others = stage.calls("echo", [{"value": number} for number in range(8)])
        await stage.end_of(first)
        stage.executor.stop(others[2], None)
        for attempt in others:
            await stage.until(lambda one=attempt: stage.ends(one) or Returned(one) in stage.events)
        for attempt in others[:2] + others[3:]:
            assert all(end.outcome.reason is None for end in stage.ends(attempt))


async def test_a_call_that_is_stopped_while_its_worker_starts_is_given_back(stage):
    attempt = stage.call("echo", value=1)
    stage.executor.stop(attempt, None)

    await stage.return_of(attempt)


async def test_a_deadline_holds_without_an_engine(hasty, root):
    gate = hasty.gate()
    attempt = hasty.call("wait", timeout=0.3, **gate.arguments)
    pid = await gate.reached()
    await hasty.executor.close()

    await process_gone(pid)
    await hasty.restart([attempt])

    assert (await hasty.end_of(attempt)).reason is Reason.TIMEOUT


async def test_calls_with_a_timeout_tell_when_they_begin(stage):
    attempt = stage.call("echo", timeout=60, value=1)
    await stage.end_of(attempt)

    assert stage.begins() == [attempt]


async def test_closing_ends_what_is_idle(stage, root):
    await stage.end_of(stage.call("echo", value=1))
    assert processes_of(root)

    await stage.executor.close()

    assert not [pid for pid in processes_of(root) if pid != os.getpid()]
