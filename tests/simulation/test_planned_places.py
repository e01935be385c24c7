"""Plans for unlike devices: a slow one that draws little beside a fast one that draws much."""

from __future__ import annotations

from time import monotonic

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_scheduler.core.energy import Watts
from mcp_scheduler.core.estimates import Expected
from mcp_scheduler.core.events import DevicesSeen, Group, NewTask, NodeChanged, Submitted
from mcp_scheduler.core.node import LOCAL, Node
from mcp_scheduler.core.seen import GpuSeen
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Kind, Needs, Status, Task, Terms
from mcp_scheduler.policies.catalogue import BUILT_IN
from mcp_scheduler.searching import fronts as child
from mcp_scheduler.searching import pareto
from mcp_scheduler.searching.problem import Problem
from mcp_scheduler.service.fronts import Choice, schedules_of
from mcp_scheduler.service.ordering import in_order
from mcp_scheduler.service.question import choice_of, question_of, starts_of
from mcp_scheduler.simulation import snapshot
from mcp_scheduler.simulation.dry_run import DryRun
from tests.core.builders import Stage, needs

BOTH = ("makespan", "energy")
SPEED = {"fast": 1.0, "slow": 3.0, "": 1.0}
WATTS = {"fast": 400, "slow": 40}
FOREVER = 1e12
GPU = Needs((("cpus", 1000),), gpus=1)
SHARED = Needs((("cpus", 1000),), gpus=1, gpu_memory=2**33)


class Speeds:
    """Forecasts: the seconds in a target's name, times what the device is slower."""

    def expected(self, task: Task, device_class: str = "", /) -> Expected:
        seconds = float(task.terms.target) * SPEED[device_class]
        return Expected(seconds, seconds)

    def learn(self, *_: object, **__: object) -> None:
        """It knows everything."""


def device(number: int, label: str) -> GpuSeen:
    return GpuSeen(f"{label}{number}", number, label, label, 2**34, live=False, power_limit=WATTS[label] * 1000)


def stage_of(*labels: str, nodes: int = 1) -> Stage:
    stage = Stage(8, policy=BUILT_IN["balanced"])
    stage.cluster.forecasts = Speeds()
    for number in range(1, nodes):
        stage.turn(NodeChanged(Node(f"n{number}", needs(4).amounts)))
    stage.turn(DevicesSeen(LOCAL, tuple(device(number, label) for number, label in enumerate(labels))))
    return stage


def graph(stage: Stage, told: dict[str, tuple[float, Needs, tuple[str, ...]]]) -> Submitted:
    tasks = [
        Task(
            name, 100 + number, Terms(Kind.COMMAND, str(seconds), "env", "ann", asked), stage.now,
            Status(State.PENDING, stage.now), group="g", after=after,
        )
        for number, (name, (seconds, asked, after)) in enumerate(told.items())
    ]  # fmt: skip
    return Submitted([NewTask(task, b"") for task in tasks], Group("g", "", "graph", "ann", len(tasks), stage.now))


def front_of(stage: Stage, event: Submitted, seconds: float = 0.2, policies=tuple(BUILT_IN)):
    """As the service does it, with the child's work done here: the front, and what it has to cover."""
    taken = snapshot.take(stage.cluster, stage.now)
    for task in (*taken.tasks, *(new.task for new in event.tasks)):
        taken.known.note(stage.cluster, task, taken.classes(), is_stranger=False)
    futures = [DryRun(taken, BUILT_IN[name], event).finish(FOREVER) for name in policies]
    choice = Choice(taken, event, Watts(), BOTH)
    greedy = choice.as_they_are(futures, "balanced")
    question = question_of(taken, event, futures[0])
    assert question is not None
    told = {
        "problem": question.problem.told(),
        "given": [starts_of(question, one, taken.now) for one in futures],
        "choices": [choice_of(question, one) for one in futures],
        "power": {str(kind): power for kind, power in choice.power(question).items()},
        "objectives": BOTH,
    }
    schedules = choice.of_the_policies(question, futures, "balanced")
    schedules += schedules_of(child.look(told, monotonic() + seconds))
    orders = [choice.order(question, one) for one in schedules]
    tried = [
        choice.point(DryRun(taken, BUILT_IN["balanced"], order.event).finish(FOREVER), one.by, order)
        for one, order in zip(schedules, orders, strict=True)
    ]
    return choice.front(greedy, [one for one in tried if one is not None]), greedy


FOUR = {f"t{number}": (60.0, GPU, ()) for number in range(4)}


def test_the_front_goes_from_the_fast_device_to_the_frugal_one():
    front, _ = front_of(stage_of("fast", "slow"), graph(stage_of("fast", "slow"), FOUR))
    first, last = front[0], front[-1]
    assert first.makespan == pytest.approx(180.0, abs=1)  # three on the fast one, one on the slow one
    assert sorted(map(len, first.where.values())) == [1, 3]
    assert last.where == {"local slow": ["t0", "t1", "t2", "t3"]}
    assert last.makespan == pytest.approx(720.0, abs=1)
    assert last.energy < 0.6 * first.energy
    assert len(front) >= 3  # and there is something between


def test_what_is_planned_for_a_place_runs_there_when_it_is_submitted():
    stage = stage_of("fast", "slow")
    front, _ = front_of(stage, graph(stage, FOUR))
    order = front[-1].order
    assert order is not None
    assert {str(pin.spot) for pin in order.pins.values()} == {"local slow"}
    stage.turn(order.event)
    began: dict[str, float] = {}
    places: set[str] = set()
    while stage.running:
        for attempt in stage.cluster.attempts.values():
            began.setdefault(attempt.id.task, attempt.at)
            places.update(attempt.devices)
        stage.now += 180
        stage.end(stage.running[0], seconds=180)
    assert sorted(at - 1000.0 for at in began.values()) == [0, 180, 360, 540]
    assert places == {"slow1"}


def test_a_place_that_is_in_use_at_first_is_waited_for_as_planned_and_left_when_that_is_over():
    stage = stage_of("fast", "slow")
    busy = graph(stage, {"busy": (10.0, Needs((("cpus", 1000),), gpus=1, device="slow"), ())}).tasks[0]
    stage.turn(Submitted([busy]))
    front, _ = front_of(stage, graph(stage, {"a": (60.0, GPU, ()), "b": (60.0, GPU, ())}))
    order = front[-1].order
    assert order is not None
    assert order.event.tasks[0].task.extras.pin == (LOCAL, "slow")
    assert order.event.tasks[0].task.extras.pin_for == pytest.approx(30 + 0.25 * 180, abs=1)
    stage.turn(order.event)
    assert stage.running == ["busy"]
    stage.wait(80)
    assert len(stage.running) == 2  # the slow one is still in use, so the first runs on the fast one


def test_a_single_task_has_a_choice_of_places():
    stage = stage_of("fast", "slow")
    front, _ = front_of(stage, graph(stage, {"a": (60.0, GPU, ())}))
    assert [one.where for one in front] == [{"local fast": ["a"]}, {"local slow": ["a"]}]


def test_an_end_is_sooner_with_unlike_devices_where_places_are_chosen_too():
    """The policy gives the long task, which comes last, the slow device that is left."""
    stage = stage_of("fast", "slow")
    event = graph(stage, {"short": (10.0, GPU, ()), "long": (100.0, GPU, ())})
    taken = snapshot.take(stage.cluster, stage.now)
    for new in event.tasks:
        taken.known.note(stage.cluster, new.task, taken.classes(), is_stranger=False)
    future = DryRun(taken, BUILT_IN["fifo"], event).finish(FOREVER)
    question = question_of(taken, event, future)
    assert question is not None
    told = {
        "problem": question.problem.told(),
        "given": [starts_of(question, future, taken.now)],
        "choices": [choice_of(question, future)],
    }
    answer = child.shortest(told, monotonic() + 0.1)
    assert max(run.end for run in future.runs.values()) - stage.now == pytest.approx(300, abs=1)
    assert answer["end"] == pytest.approx(100.0, abs=1)
    assert Problem.read(told["problem"]).choosing(answer["choice"]).seconds[1] == 100.0


def test_parts_of_devices_are_planned_for_devices_and_come_out_as_planned():
    """Three parts of 9 GiB are less than two devices of 16, and do not go into them."""
    part = Needs((("cpus", 1000),), gpus=1, gpu_memory=9 * 2**30)
    stage = stage_of("fast", "fast", "slow")
    event = graph(stage, {f"t{number}": (60.0, part, ()) for number in range(5)})
    taken = snapshot.take(stage.cluster, stage.now)
    for new in event.tasks:
        taken.known.note(stage.cluster, new.task, taken.classes(), is_stranger=False)
    future = DryRun(taken, BUILT_IN["balanced"], event).finish(FOREVER)
    question = question_of(taken, event, future)
    told = {
        "problem": question.problem.told(),
        "given": [starts_of(question, future, taken.now)],
        "choices": [choice_of(question, future)],
    }
    answer = child.shortest(told, monotonic() + 0.2)
    order = in_order(question, answer["starts"], event, answer["choice"])
    planned = {new.task.id: new.task.extras.pin[1] for new in order.event.tasks}
    runs = DryRun(taken, BUILT_IN["balanced"], order.event).finish(FOREVER).runs
    assert {name: run.devices[0] for name, run in runs.items()} == planned
    assert max(run.end for run in runs.values()) - stage.now == pytest.approx(answer["end"], abs=1)


LABELS = st.lists(st.sampled_from(("fast", "slow")), min_size=1, max_size=3)
TASKS = st.lists(
    st.tuples(
        st.sampled_from((5.0, 20.0, 60.0)), st.sampled_from((GPU, SHARED, needs(1), needs(3))), st.integers(0, 6)
    ),
    min_size=2,
    max_size=6,
)


@settings(max_examples=25, deadline=None)
@given(labels=LABELS, nodes=st.integers(1, 2), tasks=TASKS)
def test_no_front_is_worse_than_any_policy(labels, nodes, tasks):
    stage = stage_of(*labels, nodes=nodes)
    told = {
        f"t{number}": (seconds, asked, (f"t{other}",) if other < number else ())
        for number, (seconds, asked, other) in enumerate(tasks)
    }
    front, greedy = front_of(stage, graph(stage, told), 0.02, ("balanced", "fifo", "shortest"))
    figures = [point.figures(BOTH) for point in front]
    assert all(any(pareto.covers(one, point.figures(BOTH)) for one in figures) for point in greedy)
    assert len(pareto.front(figures)) == len(figures)
    for point in front:
        if point.order is not None:
            assert {new.task.id for new in point.order.event.tasks} == set(told)
            assert all(seconds >= 0 for _, seconds in point.order.pins.values())
