"""Pins: the planned place is preferred, is waited for a while, and beats nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mcp_scheduler.core.events import DevicesSeen, NodeChanged
from mcp_scheduler.core.explain import explain
from mcp_scheduler.core.node import LOCAL, Node
from mcp_scheduler.core.seen import GpuSeen
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Extras, Kind, Needs
from mcp_scheduler.policies.catalogue import BUILT_IN
from mcp_scheduler.service.explaining import lines_of
from tests.core.builders import Stage, needs, terms

FAST, SLOW = "fast", "slow"
ON_A_DEVICE = replace(terms("m.train", needs=Needs((("cpus", 1000),), gpus=1)), kind=Kind.COMMAND)


def device(number: int, label: str) -> GpuSeen:
    return GpuSeen(f"{label}{number}", number, label, label, 2**34, live=False)


def stage_of(*labels: str, policy: str = "balanced") -> Stage:
    stage = Stage(8, policy=BUILT_IN[policy])
    stage.turn(DevicesSeen(LOCAL, tuple(device(number, label) for number, label in enumerate(labels))))
    return stage


def two_nodes() -> Stage:
    stage = Stage(2, policy=BUILT_IN["balanced"])
    stage.turn(NodeChanged(Node("far", needs(2).amounts)))
    return stage


def on(label: str, seconds: float = 30.0, node: str = LOCAL) -> Extras:
    return Extras(pin=(node, label), pin_for=seconds)


def places(stage: Stage) -> dict[str, tuple[str, ...]]:
    return {attempt.id.task: attempt.devices or (attempt.node,) for attempt in stage.cluster.attempts.values()}


def pin_line(stage: Stage, name: str) -> str:
    lines = lines_of(explain(stage.cluster, stage.task(name), stage.now), stage.now)
    return next(line for line in lines if line.startswith("pin:"))


def test_a_free_planned_device_is_taken_whichever_comes_first_otherwise():
    for label in (FAST, SLOW):
        stage = stage_of(FAST, SLOW)
        stage.submit("a", ON_A_DEVICE, extras=on(label))
        assert places(stage)["a"][0].startswith(label)


def test_a_free_planned_node_is_taken():
    for node in (LOCAL, "far"):
        stage = two_nodes()
        stage.submit("a", extras=on("", node=node))
        assert places(stage) == {"a": (node,)}


def test_a_planned_place_in_use_is_waited_for_and_no_longer_than_planned():
    stage = stage_of(FAST, SLOW)
    stage.submit("first", ON_A_DEVICE, extras=on(SLOW))
    stage.submit("a", ON_A_DEVICE, extras=on(SLOW, 30.0))
    stage.submit("b", ON_A_DEVICE, extras=on(SLOW, 50.0))
    assert stage.running == ["first"]
    assert "in use: it waits for it for 30 s more" in pin_line(stage, "a")
    assert stage.cluster.next_due() == pytest.approx(stage.now + 30.0)
    stage.wait(29)
    assert stage.running == ["first"]
    stage.end("first")
    assert places(stage) == {"a": ("slow1",)}
    stage.wait(21)
    assert places(stage)["b"] == ("fast0",)  # fifty seconds are over


def test_who_waits_for_his_place_is_in_nobodys_way():
    """Of equal terms, too: they would stand in one queue."""
    stage = stage_of(FAST, SLOW)
    stage.submit("first", ON_A_DEVICE, extras=on(SLOW))
    stage.submit("a", ON_A_DEVICE, extras=on(SLOW))
    stage.submit("b", ON_A_DEVICE, extras=on(FAST))
    assert places(stage) == {"first": ("slow1",), "b": ("fast0",)}
    stage.end("b")
    stage.submit("c", ON_A_DEVICE)
    assert places(stage)["c"] == ("fast0",)


@pytest.mark.parametrize("trouble", ["gone", "drained", "no such class", "no such node", "too small"])
def test_a_place_that_could_not_take_it_is_not_waited_for(trouble):
    stage = stage_of(FAST, SLOW)
    pin, asked = on(SLOW, 1e6), ON_A_DEVICE
    match trouble:
        case "gone":
            stage.turn(DevicesSeen(LOCAL, (device(0, FAST),)))
        case "drained":
            stage.cluster.rooms[LOCAL].devices.withhold("slow1", "drain", "drained")
        case "no such class":
            pin = on("other", 1e6)
        case "no such node":
            pin = on(SLOW, 1e6, "far")
        case _:
            pin, asked = on("", 1e6, "far"), terms(needs=needs(4))
            stage.turn(NodeChanged(Node("far", needs(2).amounts)))
    stage.submit("a", asked, extras=pin)
    assert stage.state("a") is State.RUNNING
    assert places(stage)["a"] in {("fast0",), (LOCAL,)}


def test_a_pin_beats_neither_what_is_needed_nor_what_is_reserved():
    stage = stage_of(FAST, SLOW)
    stage.submit("runs", ON_A_DEVICE, extras=on(FAST))
    stage.submit("pair", replace(ON_A_DEVICE, needs=Needs((("cpus", 1000),), gpus=2)), priority=90)
    stage.wait(3600)  # long beyond its promise: what it has found short is kept for it
    stage.submit("a", ON_A_DEVICE, extras=on(SLOW, 5.0))
    assert stage.running == ["runs"]
    stage.wait(6)
    assert stage.running == ["runs"]
    needs_fast = replace(ON_A_DEVICE, needs=replace(ON_A_DEVICE.needs, device=FAST))
    stage = stage_of(FAST, SLOW)
    stage.submit("a", needs_fast, extras=on(SLOW, 1e6))
    assert places(stage) == {"a": ("fast0",)}


def test_a_warm_worker_that_rests_in_the_planned_place_goes():
    stage = stage_of(FAST, SLOW)
    call = replace(ON_A_DEVICE, kind=Kind.FUNCTION)
    stage.submit("first", call, extras=on(SLOW))
    stage.end("first")
    slot = next(iter(stage.cluster.resting))
    stage.submit("a", ON_A_DEVICE, extras=on(SLOW))
    assert stage.running == []
    assert [effect.slot for effect in stage.decision.effects] == [slot]


def test_the_warm_worker_of_the_planned_place_is_used_again():
    stage = stage_of(FAST, SLOW)
    call = replace(ON_A_DEVICE, kind=Kind.FUNCTION)
    stage.submit("first", call, extras=on(SLOW))
    stage.end("first")
    stage.submit("a", call, extras=on(SLOW))
    assert places(stage) == {"a": ("slow1",)}


@pytest.mark.parametrize("policy", sorted(BUILT_IN))
def test_pinned_tasks_all_run_under_every_policy(policy):
    stage = stage_of(FAST, SLOW, SLOW, policy=policy)
    for number in range(12):
        pin = (on(FAST, 20.0), on(SLOW, 40.0), on("other", 9.0))[number % 3]
        stage.submit(f"t{number}", ON_A_DEVICE, extras=pin)
    for _ in range(60):
        for name in stage.running[:1]:
            stage.end(name)
        stage.now = max(stage.now + 1.0, min(stage.cluster.next_due() or 0.0, stage.now + 50.0))
        stage.turn()
    assert {stage.state(f"t{number}") for number in range(12)} == {State.SUCCEEDED}


def test_the_explanation_tells_what_becomes_of_the_pin():
    stage = stage_of(FAST, SLOW)
    stage.submit("held", ON_A_DEVICE, extras=on(SLOW), hold=True)
    assert pin_line(stage, "held").endswith("local, slow, which is free")
    stage.submit("gone", ON_A_DEVICE, extras=on("other"), hold=True)
    assert "cannot take it now" in pin_line(stage, "gone")
