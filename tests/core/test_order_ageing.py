"""No task waits behind later ones for longer than (the difference in priority) x ageing."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from mcp_scheduler.core.events import Action, Submitted
from mcp_scheduler.core.policy import Scene, TaskClass
from mcp_scheduler.core.states import State
from mcp_scheduler.policies.catalogue import BUILT_IN
from mcp_scheduler.policies.order import FIFO, PRIORITY, Order
from tests.core.builders import Stage, terms

KINDS = [terms(f"module.f{number}") for number in range(3)]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("submit", "end", "reprioritise")), st.integers(-100, 100), st.integers(0, 2), st.floats(0, 9)
    ),
    max_size=60,
)


@dataclass
class Waiting:
    name: str
    since: float
    priority: int


@given(STEPS, st.sampled_from([FIFO, PRIORITY, Order("steep", 0.5)]))
def test_no_task_waits_behind_later_ones_longer_than_its_priority_costs(steps, order):
    stage = Stage(cpus=1, policy=order)
    waiting = {}
    for number, (verb, priority, kind, pause) in enumerate(steps):
        stage.now += pause
        if verb == "submit":
            name = f"t{number}"
            waiting[name] = Waiting(name, stage.now, priority)
            stage.turn(Submitted([stage.new(name, KINDS[kind], priority=priority)]))
        elif verb == "reprioritise" and waiting:
            one = list(waiting.values())[kind % len(waiting)]
            one.priority = priority
            stage.update(Action.SET_PRIORITY, one.name, value=priority)
        elif verb == "end" and stage.running:
            stage.end(stage.running[0])
        for name in [name for name in waiting if stage.state(name) is State.RUNNING]:
            started = waiting.pop(name)
            for other in waiting.values():
                overtaken_by = started.since - other.since
                assert overtaken_by <= max(0, started.priority - other.priority) * order.ageing + 1e-6


def test_fifo_knows_no_priority():
    ranks = {FIFO.rank(TaskClass(KINDS[0], priority), 5.0, None, Scene()) for priority in (-100, 0, 100)}
    assert ranks == {5.0}


def test_every_policy_has_the_name_it_is_found_by():
    assert {name: order.name for name, order in BUILT_IN.items()} == {name: name for name in BUILT_IN}
