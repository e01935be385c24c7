"""A front of plans through the real decision: never worse than the policies, and what was told is what happens."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mcp_scheduler.core.energy import Watts
from mcp_scheduler.core.events import Group, NewTask, Submitted
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Kind, Status, Task
from mcp_scheduler.policies.catalogue import BUILT_IN
from mcp_scheduler.searching import pareto
from mcp_scheduler.searching.archive import Archive
from mcp_scheduler.service.fronts import MOST, Choice, Point, Schedule
from mcp_scheduler.service.outcomes import energy, outcome
from mcp_scheduler.service.question import question_of
from mcp_scheduler.simulation import snapshot
from mcp_scheduler.simulation.dry_run import DryRun
from tests.core.builders import needs, terms
from tests.simulation.test_dry_run import stage_of
from tests.simulation.test_planned_orders import graph

OBJECTIVES = ("makespan", "energy", "utilisation")
FOREVER = 1e12


def prepared(objectives=OBJECTIVES, cpus=3, make=graph, *, busy=True):
    stage = stage_of(cpus)
    if busy:
        stage.submit("before")
    event = make(stage)
    taken = snapshot.take(stage.cluster, stage.now)
    for task in (*taken.tasks, *(new.task for new in event.tasks)):
        taken.known.note(stage.cluster, task, [], is_stranger=False)
    futures = [DryRun(taken, policy, event).finish(FOREVER) for policy in BUILT_IN.values()]
    return Choice(taken, event, Watts(), objectives), futures


def many(stage) -> Submitted:
    """Six long tasks beside each other, one for two cpus behind them."""
    names = [f"l{number}" for number in range(6)]
    tasks = [
        Task(name, 100 + number, terms("m.long"), stage.now, Status(State.PENDING, stage.now), group="g")
        for number, name in enumerate(names)
    ]
    wide = terms("m.wide", needs=needs(2))
    tasks.append(Task("w", 110, wide, stage.now, Status(State.PENDING, stage.now), group="g", after=tuple(names)))
    return Submitted([NewTask(task, b"") for task in tasks], Group("g", "", "graph", "tester", 7, stage.now))


def replayed(choice: Choice, question, schedule: Schedule) -> Point:
    order = choice.order(question, schedule)
    found = choice.point(DryRun(choice.taken, BUILT_IN["balanced"], order.event).finish(FOREVER), schedule.by, order)
    assert found is not None
    return found


def test_for_every_policy_some_point_of_the_front_is_in_nothing_worse():
    for objectives in (OBJECTIVES, ("energy",), ("makespan", "energy")):
        choice, futures = prepared(objectives)
        greedy = choice.as_they_are(futures, "balanced")
        assert len(greedy) == len(BUILT_IN)
        question = question_of(choice.taken, choice.event, futures[0])
        assert question is not None
        ordered = [replayed(choice, question, one) for one in choice.of_the_policies(question, futures, "balanced")]
        front = choice.front(greedy, ordered)
        figures = [one.figures(objectives) for one in front]
        assert 1 <= len(front) <= MOST
        assert all(any(pareto.covers(one, point.figures(objectives)) for one in figures) for point in greedy)
        assert len(pareto.front(figures)) == len(figures)


def test_a_narrow_order_takes_longer_and_less_energy_and_the_real_decision_keeps_it():
    choice, futures = prepared(("makespan", "energy"), 4, many, busy=False)
    question = question_of(choice.taken, choice.event, futures[0])
    assert question is not None
    archive = Archive(question.problem, choice.power(question), ("makespan", "energy"))
    points = []
    for share in (0.0, 1.0):
        count = len(question.problem.seconds)
        archive.best = []
        planned = archive.decode([number / count for number in range(count)], [share], "test")
        (tried,) = archive.best
        point = replayed(choice, question, Schedule("test", tried.starts, tried.capacity))
        assert point.figures(("makespan", "energy")) == pytest.approx(planned, rel=0.02)
        points.append(point)
    narrow, wide = points
    assert narrow.makespan > wide.makespan
    assert narrow.energy < wide.energy
    assert len(choice.front([wide], [narrow])) == 2


def test_a_policy_that_no_order_matches_stays_without_a_plan():
    choice, futures = prepared()
    best = Point("shortest", 10.0, 5.0, 0.9)
    worse = choice.as_they_are(futures, "balanced")[0]
    assert choice.front([best], [worse]) == [best]
    equal = best._replace(order=worse.order)
    assert choice.front([best], [equal]) == [equal]


def test_what_stands_still_uses_no_cpus_meanwhile():
    """Two commands for both cpus take turns: no more than all is used, and no more energy than one after the other."""
    stage = stage_of(2)
    wide = replace(terms("sleep", needs=needs(2)), kind=Kind.COMMAND)
    for name in ("a", "b"):
        stage.submit(name, wide)
    taken = snapshot.take(stage.cluster, stage.now)
    points = {}
    for policy in ("fifo", "time_slice"):
        future = DryRun(taken, replace(BUILT_IN[policy], quantum=10.0), None).finish(FOREVER)
        runs = list(future.runs.values())
        told = outcome(taken, future, runs)
        points[policy] = (told.makespan, energy(taken, runs, Watts()))
        assert told.utilisation["cpus"] == pytest.approx(1.0, abs=0.02)
    assert sum(len(run.still) for run in runs) >= 4
    assert points["time_slice"] == pytest.approx(points["fifo"], rel=0.02)
