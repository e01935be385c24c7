"""A dry run: what it foresees, and that it leaves the live state alone."""

from copy import copy
from dataclasses import replace
from itertools import pairwise
from time import monotonic

import pytest

from mcp_scheduler.core.check import check
from mcp_scheduler.core.events import Action, DevicesSeen, Group, Submitted
from mcp_scheduler.core.node import LOCAL
from mcp_scheduler.core.seen import GpuProcess, GpuSeen
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Extras, Kind, Needs
from mcp_scheduler.forecast.durations import Durations, name_of
from mcp_scheduler.policies.catalogue import BUILT_IN
from mcp_scheduler.simulation import snapshot
from mcp_scheduler.simulation.dry_run import DryRun
from tests.core.builders import Stage, needs, terms

GIB = 2**30
LONG, SHORT, WIDE = terms("m.long"), terms("m.short"), terms("m.wide", needs=needs(2))
KNOWN = {LONG.target: 60.0, SHORT.target: 10.0, WIDE.target: 20.0}


def stage_of(cpus=2):
    """A stage whose functions take what they always took."""
    stage = Stage(cpus, policy=BUILT_IN["fifo"])
    stage.cluster.forecasts = Durations()
    for kind in (LONG, SHORT, WIDE):
        for _ in range(40):
            stage.cluster.forecasts.learn(kind, 0, "", KNOWN[kind.target])
    return stage


def foresee(stage, policy="fifo", *, arriving=None, most=snapshot.MOST, seconds=20.0):
    taken = snapshot.take(stage.cluster, stage.now, most)
    book = stage.cluster.forecasts.book
    for task in (*taken.tasks, *((new.task for new in arriving.tasks) if arriving else ())):
        is_stranger = book.series((name_of(task.terms),)) is None
        taken.known.note(stage.cluster, task, taken.classes(), is_stranger=is_stranger)
    return DryRun(taken, BUILT_IN[policy], arriving).finish(monotonic() + seconds)


def times(stage, future, names):
    """start and end of each, in seconds from now."""
    runs = [future.runs[name] for name in names.split()]
    return [pytest.approx((run.start - stage.now, run.end - stage.now), abs=0.5) for run in runs]


def test_what_waits_starts_when_somebody_leaves_and_it_is_told_who():
    stage = stage_of()
    for name, kind in (("long", LONG), ("short", SHORT)):
        stage.submit(name, kind)
    stage.wait(5)
    for name, kind in (("next", SHORT), ("last", SHORT)):
        stage.submit(name, kind)
    future = foresee(stage)
    assert times(stage, future, "long short next last") == [(-5, 55), (-5, 5), (5, 15), (15, 25)]
    assert [future.runs[name].because for name in ("long", "next", "last")] == [(), ("short",), ("next",)]
    assert future.runs["last"].node == LOCAL


def test_a_dependant_waits_for_the_last_of_its_dependencies():
    stage = stage_of(4)
    stage.submit("a", LONG)
    stage.submit("b", SHORT)
    stage.submit("c", SHORT, after="a b")
    future = foresee(stage)
    assert times(stage, future, "c") == [(60, 70)]
    assert future.runs["c"].because == ("a",)


def test_another_policy_gives_another_order():
    stage = stage_of(1)
    for name, kind in (("busy", SHORT), ("long", LONG), ("short", SHORT)):
        stage.submit(name, kind)
    assert times(stage, foresee(stage, "fifo"), "long short") == [(10, 70), (70, 80)]
    assert times(stage, foresee(stage, "shortest"), "long short") == [(20, 80), (10, 20)]


def test_an_outlived_estimate_is_doubled():
    stage = stage_of(1)
    stage.submit("a", LONG)
    stage.wait(70)
    assert times(stage, foresee(stage), "a") == [(-70, 50)]


def test_what_nobody_has_seen_is_assumed_and_never_longer_than_its_timeout():
    stage = stage_of()
    stage.submit("new", terms("m.never", timeout=3.0))
    stage.submit("old", SHORT)
    future = foresee(stage)
    assert (future.runs["new"].assumed, future.runs["old"].assumed) == (True, False)
    assert times(stage, future, "new") == [(0, 3)]


def test_tasks_that_share_a_thing_follow_each_other():
    stage = stage_of()
    thing = Extras(writes=("index",))
    for name in ("a", "b"):
        stage.submit(name, SHORT, extras=thing)
    future = foresee(stage)
    assert times(stage, future, "a b") == [(0, 10), (10, 20)]
    assert future.runs["b"].because == ("a",)


def test_a_lease_ends_when_it_lapses():
    stage = stage_of(1)
    stage.submit("lease", replace(LONG, kind=Kind.LEASE, target="lease", timeout=30.0))
    stage.submit("a", SHORT)
    assert times(stage, foresee(stage), "a") == [(30, 40)]


def test_scheduled_tasks_wait_for_their_time_and_a_series_comes_once():
    stage = stage_of()
    series = Extras(every=5.0, time=stage.now + 20, occurrence=1)
    stage.submit("later", SHORT, start_after=stage.now + 20, extras=series, group="series")
    future = foresee(stage)
    assert times(stage, future, "later") == [(20, 30)]
    assert list(future.runs) == ["later"]


def test_held_tasks_and_what_waits_for_them_have_no_end():
    stage = stage_of()
    stage.submit("a", SHORT, hold=True)
    stage.submit("b", SHORT, after="a")
    runs = foresee(stage).runs
    assert (runs["a"].end, runs["a"].why) == (None, "held until a person resumes it")
    assert (runs["b"].end, runs["b"].why) == (None, "waits for a, which does not end in this plan")


def test_given_tasks_stand_behind_what_waits_already_and_are_not_there_afterwards():
    stage = stage_of(1)
    stage.submit("busy", SHORT)
    new = [stage.new("x", SHORT, group="g"), stage.new("y", SHORT, after="x", group="g")]
    arriving = Submitted(new, Group("g", "", "graph", "ann", 2, stage.now))
    before = [(copy(one.task.status), one.task.queue) for one in new]
    for policy in ("fifo", "balanced"):
        assert times(stage, foresee(stage, policy, arriving=arriving), "x y") == [(10, 20), (20, 30)]
    assert [(one.task.status, one.task.queue) for one in new] == before
    assert list(stage.cluster.tasks) == ["busy"]


@pytest.mark.parametrize("policy", sorted(BUILT_IN))
def test_no_plan_overbooks_leaves_a_task_out_or_touches_what_is_live(policy):
    stage = stage_of(4)
    for number in range(60):
        kind = (LONG, SHORT, WIDE)[number % 3]
        stage.submit(f"t{number}", kind, after=f"t{number - 1}" if number % 7 == 3 else "", priority=number % 5)
    live = {name: copy(task.status) for name, task in stage.cluster.tasks.items()}
    waiting, used = len(stage.cluster.ready), stage.cluster.rooms[LOCAL].free.copy()
    future = foresee(stage, policy)
    assert {run.end is None for run in future.runs.values()} == {False}
    assert len(future.runs) == 60
    moments = sorted({run.start for run in future.runs.values()})
    for moment, _ in pairwise(moments):
        under_way = [run for run in future.runs.values() if run.start <= moment < run.end]
        assert sum(dict(run.task.terms.needs.amounts)["cpus"] for run in under_way) <= 4000
    for run in future.runs.values():
        assert all(future.runs[name].end <= run.start for name in run.task.after)
    assert {name: task.status for name, task in stage.cluster.tasks.items()} == live
    assert (len(stage.cluster.ready), stage.cluster.rooms[LOCAL].free) == (waiting, used)
    check(stage.cluster)
    stage.submit("more", SHORT)  # and it goes on as before


def test_of_too_many_those_are_looked_at_that_run_and_go_first():
    stage = stage_of(1)
    for number in range(30):
        stage.submit(f"t{number}", SHORT)
    stage.submit("dependant", SHORT, after="t29")
    stage.submit("urgent", SHORT, priority=50)
    stage.cluster.use(BUILT_IN["priority"])
    taken = snapshot.take(stage.cluster, stage.now, 5)
    assert {task.id for task in taken.tasks} == {"t0", "urgent", "t1", "t2", "t3"}
    assert taken.left_out == 27


def test_a_plan_whose_time_is_over_says_so():
    stage = stage_of(1)
    for number in range(5):
        stage.submit(f"t{number}", SHORT)
    future = foresee(stage, seconds=-1.0)
    assert future.cut
    assert future.runs["t4"].why == "this plan was cut before its end"


def test_a_device_comes_free_when_its_task_ends_though_the_driver_still_shows_its_memory():
    stage = stage_of(4)
    idle = GpuSeen("GPU-0", 0, "RTX 3090", "rtx-3090-24gb", 24 * GIB, used=0, free=24 * GIB)
    stage.turn(DevicesSeen(LOCAL, (idle,)))
    train = terms("m.long", needs=Needs((("cpus", 1000),), gpus=1))
    shared = terms("m.short", needs=Needs((("cpus", 1000),), gpus=1, gpu_memory=12 * GIB))
    stage.submit("train", train)
    (attempt,) = stage.cluster.attempts.values()
    busy = GpuProcess(77, 20 * GIB, owner=attempt.slot)
    stage.turn(DevicesSeen(LOCAL, (replace(idle, used=20 * GIB, free=4 * GIB, processes=(busy,)),)))
    stage.submit("shared", shared)
    assert stage.state("shared") is State.QUEUED
    future = foresee(stage)
    assert times(stage, future, "train shared") == [(0, 60), (60, 70)]
    assert (future.runs["shared"].devices, future.runs["shared"].because) == (("GPU-0",), ("train",))


def test_memory_of_strangers_stays_where_it_is():
    stage = stage_of(4)
    strange = GpuProcess(5, 20 * GIB)
    seen = GpuSeen("GPU-0", 0, "RTX 3090", "rtx-3090-24gb", 24 * GIB, 20 * GIB, 4 * GIB, processes=(strange,))
    stage.turn(DevicesSeen(LOCAL, (seen,)))
    stage.submit("shared", terms("m.short", needs=Needs((("cpus", 1000),), gpus=1, gpu_memory=12 * GIB)))
    run = foresee(stage).runs["shared"]
    assert (run.end, run.why) == (None, "finds no room")


def test_a_resumed_task_is_in_the_next_plan():
    stage = stage_of()
    stage.submit("a", SHORT, hold=True)
    assert foresee(stage).runs["a"].end is None
    stage.update(Action.RESUME, "a")
    assert times(stage, foresee(stage), "a") == [(0, 10)]
