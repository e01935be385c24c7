"""An order that the search has found, through the real decision: what was planned is what happens."""

from __future__ import annotations

from mcp_scheduler.core.events import Group, NewTask, Submitted
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Status, Task
from mcp_scheduler.policies.catalogue import BUILT_IN
from mcp_scheduler.searching.search import search
from mcp_scheduler.service import ordering
from mcp_scheduler.service.question import question_of
from mcp_scheduler.simulation import snapshot
from mcp_scheduler.simulation.dry_run import DryRun
from tests.core.builders import needs, terms
from tests.simulation.test_dry_run import stage_of

# On two cpus the policy fills them with short tasks at once, and the wide one waits for both.
SECONDS = {"m.wide": 20.0, "m.long": 60.0, "m.short": 10.0}


def graph(stage) -> Submitted:
    kinds = {name: terms(name, needs=needs(2 if name == "m.wide" else 1)) for name in SECONDS}
    told = {
        "s1": ("m.short", ()), "w": ("m.wide", ("s1",)), "l": ("m.long", ()), "s2": ("m.short", ()),
        "e": ("m.long", ("w",)),
    }  # fmt: skip
    tasks = [
        Task(name, 100 + number, kinds[kind], stage.now, Status(State.PENDING, stage.now), group="g", after=after)
        for number, (name, (kind, after)) in enumerate(told.items())
    ]
    new = [NewTask(task, b"") for task in tasks]
    return Submitted(new, Group("g", "", "graph", "tester", len(new), stage.now))


def test_the_real_decision_keeps_a_planned_order_and_ends_when_planned():
    stage = stage_of(2)
    event = graph(stage)
    taken = snapshot.take(stage.cluster, stage.now)
    for new in event.tasks:
        taken.known.note(stage.cluster, new.task, [], is_stranger=False)
    greedy = DryRun(taken, BUILT_IN["balanced"], event).finish(1e12)
    question = question_of(taken, event, greedy)
    assert question is not None
    looks = iter(range(200))
    found = search(question.problem, [], lambda: next(looks, None) is not None)
    moved, behind, pins = ordering.in_order(question, found.starts, event)
    assert not pins  # there is one place for all
    planned = DryRun(taken, BUILT_IN["balanced"], moved).finish(1e12)
    ends = {name: run.end - stage.now for name, run in planned.runs.items()}
    assert max(run.end for run in greedy.runs.values()) - stage.now > found.end + 5
    assert abs(max(ends.values()) - found.end) < 0.5
    pairs = [(name, other) for name, others in behind.items() for other in others]
    assert pairs
    assert all(planned.runs[other].end <= planned.runs[name].start for name, other in pairs)
    assert [task.id for task in stage.cluster.tasks.values()] == []  # nothing of it has reached the live state
