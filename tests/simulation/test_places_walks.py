"""Several nodes with GPUs: what is lost, drained, broken or planned, beside all that happens on one node."""

import pytest
from hypothesis.stateful import run_state_machine_as_test

from mcp_scheduler.core.breakers import Trust
from mcp_scheduler.core.node import LOCAL
from mcp_scheduler.errors import InvariantBroken
from tests.simulation.campaign import walk
from tests.simulation.faults_of_places import FAULTS_OF_PLACES
from tests.simulation.machine import Wide
from tests.simulation.sim import Sim
from tests.simulation.walks import gate
from tests.simulation.wanted import FAR, OLD, SHAPES, Fate, Wanted

GATE = gate(30, 30)
_, ON_AN_OLD_ONE, PART, OTHER_PART = range(len(SHAPES), len(SHAPES) + 4)


def test_no_story_of_nodes_and_gpus_breaks_a_promise():
    run_state_machine_as_test(Wide, settings=GATE)


def a_plan_is_carried_out_after_a_restart():
    """Each in its place, however the decision would choose by itself."""
    for node in (LOCAL, FAR):
        sim = Sim(are_many=True)
        sim.submit([Wanted(ON_AN_OLD_ONE, pin=(node, OLD), pin_for=20.0, hold=True)], Fate("after"))
        sim.resume_all()
        assert sim.places.began_on.get(sim.known[0], ("nowhere",))[0] == node
        sim.drain()


def test_a_plan_is_carried_out_by_the_next_engine():
    a_plan_is_carried_out_after_a_restart()


def a_gpu_breaks_and_the_engine_dies():
    """Nothing is started there by the next one."""
    for kind in ("ok", "after"):
        sim = Sim(are_many=True)
        for shape in (OTHER_PART, PART):
            sim.submit([Wanted(shape, pin=(FAR, OLD), pin_for=20.0)])
            sim.begin(range(4))
            sim.break_down("old3")
        assert sim.cluster.breakers.trust((FAR, "old3")) is Trust.SHUT
        sim.submit([Wanted(PART, pin=(FAR, OLD), pin_for=20.0)], Fate(kind))
        sim.submit([Wanted(PART, pin=(FAR, OLD), pin_for=20.0)])
        sim.drain()


def test_the_next_engine_knows_which_gpu_is_in_quarantine():
    a_gpu_breaks_and_the_engine_dies()


def a_planned_place_stays_in_use():
    """So long that the task runs elsewhere."""
    sim = Sim(are_many=True)
    sim.submit([Wanted(ON_AN_OLD_ONE, pin=(FAR, OLD), pin_for=5.0)])
    sim.submit([Wanted(ON_AN_OLD_ONE, pin=(FAR, OLD), pin_for=5.0)])
    sim.wait(1.0)
    assert len(sim.places.began_on) == 1
    sim.wait(10.0)
    sim.drain()


def test_a_planned_place_is_waited_for_no_longer_than_planned():
    a_planned_place_stays_in_use()


def walk_many():
    for story in STORIES:
        story()
    for episode in range(300):
        walk(f"places/{episode}", 60, are_many=True)


STORIES = (a_plan_is_carried_out_after_a_restart, a_gpu_breaks_and_the_engine_dies, a_planned_place_stays_in_use)


@pytest.mark.parametrize("plant", FAULTS_OF_PLACES, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_caught(plant, monkeypatch):
    plant(monkeypatch)
    with pytest.raises((AssertionError, InvariantBroken)):
        walk_many()
