"""Calls that take their worker with them: each ends truthfully, and nobody else is touched."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from pathlib import Path

import pytest
from executor_stage import is_alive

from mcp_scheduler.core.events import Returned
from mcp_scheduler.core.states import Reason
from mcp_scheduler.executors.local.tree import carriers
from mcp_scheduler.executors.local.worker import Worker

pytestmark = pytest.mark.anyio


async def test_a_call_that_exits_the_process_ends_as_crashed_with_its_exit_code(stage):
    attempt = stage.call("exit_hard", code=3)

    outcome = await stage.end_of(attempt)

    assert outcome.reason is Reason.CRASHED
    assert outcome.exit_code == 3
    assert "exited with code 3" in outcome.error


async def test_what_a_call_printed_before_its_crash_is_kept(stage):
    attempt = stage.call("exit_hard", code=1)

    outcome = await stage.end_of(attempt)

    printed = (stage.folders.attempts / f"{attempt}.out").read_text()
    assert printed == "on the way out\n"
    assert outcome.stdout_bytes == len(printed)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGABRT])
async def test_a_killed_worker_ends_its_call_as_crashed_and_names_the_signal(stage, signum):
    outcome = await stage.end_of(stage.call("kill_self", signum=int(signum)))

    assert outcome.reason is Reason.CRASHED
    assert outcome.signal == signum
    assert signum.name in outcome.error


async def test_a_segmentation_fault_is_named(stage):
    outcome = await stage.end_of(stage.call("segfault"))

    assert outcome.reason is Reason.CRASHED
    assert outcome.signal == signal.SIGSEGV
    assert "SIGSEGV" in outcome.error


async def test_the_calls_behind_a_crash_are_given_back(stage):
    gate = stage.gate()
    crashing, *behind = stage.calls("wait", [gate.arguments] * 4)
    os.kill(await gate.reached(), signal.SIGKILL)

    assert (await stage.end_of(crashing)).reason is Reason.CRASHED
    for attempt in behind:
        await stage.return_of(attempt)
        assert not stage.ends(attempt)


async def test_a_call_that_ended_just_before_a_crash_has_its_result(stage):
    before = [stage.call("echo", slot="s", value=number) for number in range(5)]
    crashing = stage.call("exit_hard", slot="s", code=3)

    assert (await stage.end_of(crashing)).exit_code == 3
    assert [(await stage.end_of(one)).result for one in before] == [b"0", b"1", b"2", b"3", b"4"]


async def test_another_worker_does_not_notice_a_crash(stage):
    gate = stage.gate()
    bystander = stage.call("wait", **gate.arguments)
    await gate.reached()

    await stage.end_of(stage.call("segfault"))
    gate.open()

    assert (await stage.end_of(bystander)).reason is None


async def test_the_exit_record_of_a_crash_goes_when_it_is_settled(stage):
    attempt = stage.call("exit_hard", code=1)
    await stage.end_of(attempt)
    record = stage.folders.attempts / f"{attempt}.exit"
    assert record.exists()

    stage.executor.settle([attempt])

    await stage.executor.close()
    assert not record.exists()


async def test_a_killed_shim_takes_its_tree_along_and_the_call_is_lost(stage):
    gate, daemon = stage.gate(), stage.gate()
    attempt = stage.call("leave_daemon", gate=gate.arguments["gate"], began=daemon.arguments["began"])
    daemon_pid = await daemon.reached()
    os.kill(shim_of(stage), signal.SIGKILL)

    outcome = await stage.end_of(attempt)

    assert outcome.reason is Reason.LOST
    assert "supervisor" in outcome.error
    assert not is_alive(daemon_pid)


async def test_a_killed_zygote_is_replaced(stage):
    await stage.end_of(stage.call("echo", value=1))
    gate = stage.gate()
    running = stage.call("wait", **gate.arguments)
    await gate.reached()
    os.kill(stage.executor._pool.zygote.pid, signal.SIGKILL)

    another = stage.call("echo", value=2)

    assert (await stage.end_of(another)).result == b"2"
    gate.open()
    assert (await stage.end_of(running)).reason is None


async def test_a_worker_that_somebody_terminates_ends_its_call_as_crashed(stage):
    gate = stage.gate()
    attempt = stage.call("wait", **gate.arguments)
    os.kill(await gate.reached(), signal.SIGTERM)

    outcome = await stage.end_of(attempt)

    assert outcome.reason is Reason.CRASHED


async def test_crashes_in_a_row_each_end_once(stage):
    attempts = stage.calls("exit_hard", [{"code": 1}] * 5, slot="s")
    rounds = 0
    while left := [one for one in attempts if Returned(one) in stage.events or not stage.ends(one)]:
        await stage.until(lambda left=left: all(stage.ends(one) or Returned(one) in stage.events for one in left))
        attempts = [stage.call("exit_hard", code=1) for one in left if Returned(one) in stage.events]
        rounds += 1
        assert rounds < 6

    assert rounds


def shim_of(stage):
    """The pid of the supervisor of the one worker that has something to do."""
    (worker,) = [worker for worker in stage.executor._pool.workers if worker.window]
    status = Path(f"/proc/{min(carriers([worker.cookie]))}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:"))


async def test_a_worker_that_is_gone_is_freed_without_the_collector(stage):
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            await stage.end_of(stage.call("exit_hard", code=1))
        async with asyncio.timeout(10):
            while any(isinstance(one, Worker) for one in gc.get_objects()):  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.05)
    finally:
        gc.enable()
