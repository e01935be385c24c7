import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from mcp_scheduler.core import quarantine
from mcp_scheduler.core.breakers import Breakers
from mcp_scheduler.core.devices import Devices
from mcp_scheduler.core.slots import Room
from mcp_scheduler.core.states import Reason
from mcp_scheduler.errors import InvariantBroken
from tests.simulation.quarantines import ENDS, PINS, PLACES, SHAPES, Quarantines
from tests.simulation.walks import gate, hunt

GATE = gate(50, 30)
HUNT = hunt(GATE, 300)


class Machine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.sim = Quarantines()

    @rule(
        shapes=st.lists(st.integers(0, len(SHAPES) - 1), min_size=1, max_size=6),
        pin=st.sampled_from((None, None, *PINS)),
    )
    def submit(self, shapes, pin):
        for shape in shapes:
            self.sim.submit(shape, pin)

    @rule(pick=st.integers(0, 20), reason=st.sampled_from(ENDS), seconds=st.sampled_from((0.001, 5.0)))
    def end(self, pick, reason, seconds):
        self.sim.stage.now += 0.5
        self.sim.end(pick, reason, seconds)

    @rule(pick=st.integers(0, len(PLACES) - 1))
    def fail_at(self, pick):
        self.sim.fail_at(pick)

    @rule(reason=st.sampled_from((Reason.LOST, Reason.CRASHED)))
    def end_all(self, reason):
        self.sim.end_all(reason)

    @rule(seconds=st.sampled_from((0.1, 2.0, 15.0, 70.0)))
    def wait(self, seconds):
        self.sim.wait(seconds)

    @rule(pick=st.integers(0, len(PLACES) - 1))
    def lift(self, pick):
        self.sim.lift(pick)

    @rule(cpus=st.sampled_from((0, 1, 2, 3)))
    def size(self, cpus):
        self.sim.size(cpus)

    @rule()
    def disk_fails(self):
        self.sim.disk_fails()

    @rule()
    def engine_dies(self):
        self.sim.engine_dies()

    def teardown(self):
        self.sim.drain()


def test_no_story_of_failures_breaks_what_quarantine_promises():
    run_state_machine_as_test(Machine, settings=GATE)


def shut_nodes_are_offered(patch):
    patch.setattr(Room, "is_closed", False)


def devices_on_probation_are_for_all(patch):
    patch.setattr(Devices, "set_probation", lambda *_, **__: None)
    patch.setattr("mcp_scheduler.core.check._quarantine", lambda _: [])


def calls_follow_the_probe(patch):
    patch.setattr(quarantine, "admits_refill", lambda *_: True)


def the_last_node_is_shut_too(patch):
    patch.setattr(quarantine, "_is_lone", lambda *_: False)


def nobody_looks_again(patch):
    patch.setattr(quarantine, "look", lambda _: None)


def the_size_of_the_pool_is_ignored(patch):
    patch.setattr(Room, "is_beyond", lambda *_: False)


def times_double_without_end(patch):
    patch.setattr(Breakers, "longest", property(lambda _: 1e9, lambda *_: None), raising=False)


def the_next_engine_withholds_nothing(patch):
    patch.setattr(quarantine, "go_on", lambda *_: None)
    patch.setattr("mcp_scheduler.core.check._quarantine", lambda _: [])


@pytest.mark.parametrize(
    "plant",
    [
        shut_nodes_are_offered, devices_on_probation_are_for_all, calls_follow_the_probe, the_last_node_is_shut_too,
        nobody_looks_again, times_double_without_end, the_size_of_the_pool_is_ignored,
        the_next_engine_withholds_nothing,
    ],
    ids=lambda plant: plant.__name__,
)  # fmt: skip
def test_a_planted_fault_is_caught(plant, monkeypatch):
    plant(monkeypatch)
    with pytest.raises((AssertionError, InvariantBroken)):
        run_state_machine_as_test(Machine, settings=HUNT)
