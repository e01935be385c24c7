"""What the local executor does with devices: who sees them, who keeps them, and when they are given back."""

import os

import pytest
from executor_stage import process_gone
from test_executor_contract import anyio_backend, stage

from mcp_scheduler.core.changes import Launch
from mcp_scheduler.core.events import SlotGone
from mcp_scheduler.core.node import Attempt
from mcp_scheduler.core.task import Kind, Needs, Terms

__all__ = ["anyio_backend", "stage"]
pytestmark = pytest.mark.anyio
GPU = ("GPU-0000",)


def on_gpu(stage, function, slot, **arguments):
    """A call in a slot with a GPU."""
    launch = stage.executor.launch

    def with_devices(asked, payloads):
        needs = Needs(gpus=1)
        terms = Terms(Kind.FUNCTION, asked.terms.target, asked.terms.environment, "tester", needs)
        stage.launches |= {one: Attempt(one, asked.slot, "local", 0.0, GPU) for one in asked.attempts}
        launch(Launch(asked.slot, asked.node, terms, asked.attempts, GPU), payloads)

    stage.executor.launch = with_devices
    try:
        return stage.call(function, slot=slot, **arguments)
    finally:
        stage.executor.launch = launch


async def gone(stage, slot):
    await stage.until(lambda: SlotGone(slot) in stage.events)


@pytest.mark.parametrize("stage", ["local"], indirect=True)
async def test_the_worker_of_a_slot_with_devices_stays_until_it_is_evicted(stage):
    first = await stage.end_of(on_gpu(stage, "pid", "s.1"))
    second = await stage.end_of(on_gpu(stage, "pid", "s.1"))
    assert first.result == second.result
    assert list(stage.executor.tenants.values()) == ["s.1"]
    assert SlotGone("s.1") not in stage.events
    stage.executor.evict("s.1")
    await gone(stage, "s.1")
    await process_gone(int(second.result))
    assert not stage.executor.tenants


@pytest.mark.parametrize("stage", ["local"], indirect=True)
async def test_a_worker_with_devices_is_never_given_to_another_slot(stage):
    first = await stage.end_of(on_gpu(stage, "pid", "s.1"))
    other = await stage.end_of(on_gpu(stage, "pid", "s.2"))
    plain = await stage.end_of(stage.call("pid"))
    assert len({first.result, other.result, plain.result}) == 3


async def test_a_slot_that_nobody_has_is_gone_at_once(stage):
    stage.executor.evict("nobody.1")
    await gone(stage, "nobody.1")


@pytest.mark.parametrize("stage", ["local"], indirect=True)
async def test_the_slot_of_a_worker_that_is_killed_is_gone_after_its_call_has_ended(stage):
    first = await stage.end_of(on_gpu(stage, "pid", "s.1"))
    os.kill(int(first.result), 9)
    await gone(stage, "s.1")
    await process_gone(int(first.result))


@pytest.mark.parametrize("stage", ["local"], indirect=True)
async def test_who_comes_back_to_a_slot_whose_worker_is_leaving_waits_until_it_is_gone(stage):
    first = await stage.end_of(on_gpu(stage, "pid", "s.1"))
    stage.executor.evict("s.1")
    second = await stage.end_of(on_gpu(stage, "pid", "s.1"))
    assert second.result != first.result
    await process_gone(int(first.result))
    assert SlotGone("s.1") not in stage.events  # it is in use: the second worker has it
    stage.executor.evict("s.1")
    await gone(stage, "s.1")
