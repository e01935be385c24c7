"""A dry run begins with what is trusted and offered now: its starts are those of the real decision."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic

import pytest

from mcp_scheduler.core.breakers import Breakers, Trust
from mcp_scheduler.core.events import DevicesSeen, Group, NodeChanged, PoolSized, Submitted
from mcp_scheduler.core.node import LOCAL, Node
from mcp_scheduler.core.seen import GpuSeen
from mcp_scheduler.core.states import Reason
from mcp_scheduler.core.task import Extras, Kind, Needs, Retry
from mcp_scheduler.policies.catalogue import BUILT_IN
from mcp_scheduler.service.question import Resource, question_of
from mcp_scheduler.simulation import snapshot
from mcp_scheduler.simulation.dry_run import DryRun
from tests.core.builders import needs
from tests.simulation.test_dry_run import SHORT, foresee, stage_of

GPUS = tuple(GpuSeen(f"card{number}", number, "card", "card", 2**34, live=False) for number in range(2))
CRASHES = replace(SHORT, target="m.crash", retry=Retry(1), kind=Kind.COMMAND)
ON_A_CARD = replace(SHORT, needs=Needs((("cpus", 1000),), gpus=1, gpu_memory=2**30), kind=Kind.COMMAND)


def furnished(cpus=8):
    stage = stage_of(cpus)
    stage.cluster.breakers = Breakers(2, 30.0, 60.0)
    stage.turn(DevicesSeen(LOCAL, GPUS))
    return stage


def shut(stage, needed, node=LOCAL):
    """What runs there crashes: two functions, so that they are not to blame themselves."""
    for number, target in enumerate(("m.one", "m.two")):
        asked = replace(CRASHES, target=target, needs=needed)
        stage.now += 1
        stage.submit(f"bad{number}", asked, extras=Extras(pin=(node, ""), pin_for=1.0))
        stage.now += 1
        stage.end(f"bad{number}", Reason.CRASHED)


def arriving(stage, *asked):
    new = [stage.new(f"t{number}", one, group="g") for number, one in enumerate(asked)]
    return Submitted(new, Group("g", "", "graph", "ann", len(new), stage.now))


def starts_as_foreseen(stage, event, seconds=200.0):
    """Every task starts when and where the dry run says; what runs takes what is expected of it."""
    future = foresee(stage, arriving=event)
    told = {name: (run.start, run.node, run.devices) for name, run in future.runs.items() if name.startswith("t")}
    found, ends = {}, {}
    stage.turn(event)
    until = stage.now + seconds
    while stage.now < until:
        for attempt in stage.cluster.attempts.values():
            name = attempt.id.task
            if name not in found:
                found[name] = (attempt.at, attempt.node, attempt.devices)
                ends[name] = attempt.at + future.runs[name].end - future.runs[name].start
        due = [*(at for name, at in ends.items() if name in stage.running), stage.cluster.next_due() or until]
        stage.now = max(stage.now + 1e-3, min(*due, until))
        over = [name for name in stage.running if ends.get(name, until) <= stage.now]
        stage.turn(*(stage.ended(name, seconds=10.0) for name in over))
    assert {name: found[name][1:] for name in told} == {name: one[1:] for name, one in told.items()}
    for name, (start, *_) in told.items():
        assert found[name][0] == pytest.approx(start, abs=0.2), name
    return {name: start - event.group.submitted_at for name, (start, *_) in told.items()}


def test_a_device_in_quarantine_is_not_used_until_its_time_is_over_and_then_by_one():
    stage = furnished()
    shut(stage, Needs((("cpus", 1000),), gpus=1, device="card0"))
    assert stage.cluster.breakers.trust((LOCAL, "card0")) is Trust.SHUT
    only = replace(ON_A_CARD, needs=replace(ON_A_CARD.needs, device="card0"))
    starts = starts_as_foreseen(stage, arriving(stage, ON_A_CARD, only, only, only))
    assert starts["t0"] == 0
    assert starts["t1"] == pytest.approx(29, abs=1.5)
    assert starts["t2"] == pytest.approx(starts["t1"] + 20, abs=0.5)  # the first of them has tried it alone
    assert starts["t3"] == pytest.approx(starts["t2"], abs=0.5)


def test_a_device_on_probation_takes_one_task_at_a_time():
    stage = furnished()
    shut(stage, Needs((("cpus", 1000),), gpus=1, device="card0"))
    stage.wait(31)
    assert stage.cluster.breakers.trust((LOCAL, "card0")) is Trust.PROBATION
    only = replace(ON_A_CARD, needs=replace(ON_A_CARD.needs, device="card0"))
    starts = starts_as_foreseen(stage, arriving(stage, only, only))
    assert starts == {"t0": 0, "t1": pytest.approx(20, abs=0.5)}


@pytest.mark.parametrize("wait", [0.0, 31.0])
def test_a_node_that_is_shut_or_on_probation(wait):
    stage = furnished(2)
    stage.turn(NodeChanged(Node("far", needs(2).amounts)))
    shut(stage, needs(1), "far")
    assert stage.cluster.breakers.trust(("far", "")) is Trust.SHUT
    if wait:
        stage.wait(wait)
        assert stage.cluster.breakers.trust(("far", "")) is Trust.PROBATION
    starts = starts_as_foreseen(stage, arriving(stage, *[SHORT] * 5))
    assert list(starts.values()).count(0) == (3 if wait else 2)


def test_a_pool_that_has_shrunk_starts_as_many_as_it_offers():
    stage = stage_of(8)
    stage.submit("before", SHORT)
    stage.turn(PoolSized(LOCAL, 3000, "the host is busy"))
    starts = starts_as_foreseen(stage, arriving(stage, *[SHORT] * 4))
    assert list(starts.values()) == [0, 0, pytest.approx(10, abs=0.5), pytest.approx(10, abs=0.5)]


def test_an_order_is_looked_for_within_what_the_pool_offers():
    stage = stage_of(8)
    stage.turn(PoolSized(LOCAL, 3000, "the host is busy"))
    for asked, capacity in ((1, 3000), (5, 5000)):
        event = arriving(stage, *[replace(SHORT, needs=needs(asked))] * 2)
        taken = snapshot.take(stage.cluster, stage.now)
        question = question_of(taken, event, DryRun(taken, BUILT_IN["fifo"], event).finish(monotonic() + 5))
        assert question.problem.capacity[question.kinds[Resource(LOCAL, "cpus")]] == capacity


def test_what_is_learnt_in_a_dry_run_of_who_is_trusted_stays_there():
    stage = furnished()
    shut(stage, Needs((("cpus", 1000),), gpus=1, device="card0"))
    before = {place: replace(one, targets=one.targets.copy()) for place, one in stage.cluster.breakers.known.items()}
    only = replace(ON_A_CARD, needs=replace(ON_A_CARD.needs, device="card0"))
    foresee(stage, arriving=arriving(stage, only, only))
    assert stage.cluster.breakers.known == before
    assert stage.cluster.rooms[LOCAL].devices.states["card0"].withheld
