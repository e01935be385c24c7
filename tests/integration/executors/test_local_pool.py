"""Workers are reused, kept warm for a while, and replaced when they are worn."""

from __future__ import annotations

import pytest
from executor_stage import LocalStage, process_gone

from mcp_scheduler.core.events import Returned
from mcp_scheduler.core.states import Reason
from mcp_scheduler.errors import ExecutorUnavailable
from mcp_scheduler.executors.local.folders import Folders
from mcp_scheduler.executors.local.limits import Limits

pytestmark = pytest.mark.anyio


@pytest.fixture
async def open_stage(root, leak_check, anyio_backend):
    stages = []

    async def open_with(limits):
        stages.append(LocalStage(root, limits))
        await stages[0].open()
        return stages[0]

    yield open_with
    await stages[0].close()


async def test_calls_that_follow_each_other_share_a_worker(open_stage):
    stage = await open_stage(Limits())
    pids = set()
    for _ in range(3):
        gate = stage.gate()
        attempt = stage.call("wait", **gate.arguments)
        pids.add(await gate.reached())
        gate.open()
        await stage.end_of(attempt)

    assert len(pids) == 1


async def test_a_busy_worker_says_beside_its_call_what_there_is(open_stage, monkeypatch):
    monkeypatch.setattr("mcp_scheduler.executors.local.catalogue.PATIENCE", 30.0)  # else another one would be started
    stage = await open_stage(Limits())
    gate = stage.gate()
    attempt = stage.call("wait", **gate.arguments)
    await gate.reached()

    assert (await stage.executor.catalogue("here")).functions

    gate.open()
    await stage.end_of(attempt)


async def test_a_worker_is_replaced_after_its_number_of_calls(open_stage):
    stage = await open_stage(Limits(calls=5))
    attempts = stage.calls("echo", [{"value": number} for number in range(8)])
    for attempt in attempts[:5]:
        await stage.end_of(attempt)
    for attempt in attempts[5:]:
        await stage.return_of(attempt)

    assert (await stage.end_of(stage.call("echo", value=9))).result == b"9"


async def test_more_idle_workers_than_wanted_are_ended(open_stage):
    stage = await open_stage(Limits(idle=1))
    gates = [stage.gate(), stage.gate()]
    attempts = [stage.call("wait", **gate.arguments) for gate in gates]
    pids = [await gate.reached() for gate in gates]
    for gate, attempt in zip(gates, attempts, strict=True):
        gate.open()
        await stage.end_of(attempt)

    await process_gone(pids[0])


async def test_an_idle_worker_is_ended_in_time(open_stage):
    stage = await open_stage(Limits(idle_seconds=0.05))
    gate = stage.gate()
    attempt = stage.call("wait", **gate.arguments)
    pid = await gate.reached()
    gate.open()
    await stage.end_of(attempt)

    await process_gone(pid)
    assert (await stage.end_of(stage.call("echo", value=1))).reason is None


async def test_when_no_zygote_can_start_the_calls_are_lost_not_forgotten(open_stage, monkeypatch):
    stage = await open_stage(Limits())
    monkeypatch.setattr("mcp_scheduler.executors.local.zygote_link._PROGRAM", "/nowhere/zygote.py")

    outcome = await stage.end_of(stage.call("echo", value=1))

    assert outcome.reason is Reason.LOST
    assert "zygote" in outcome.error
    assert not [event for event in stage.events if isinstance(event, Returned)]


def test_a_run_folder_whose_path_is_too_long_is_refused(tmp_path):
    run = tmp_path / ("x" * 100)
    with pytest.raises(ExecutorUnavailable, match="too long"):
        Folders(tmp_path, tmp_path, run, tmp_path).make()
