"""Named things: who waits for whom, and in which order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_scheduler.core.conflicts import Conflicts
from mcp_scheduler.core.contention import KEPT, Contention
from mcp_scheduler.core.events import Action, Submitted
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.core.task import Extras, Status, Task
from tests.core.builders import Stage, needs, terms

WIDE = needs(0, free=0)


@pytest.fixture
def stage() -> Stage:
    return Stage(cpus=100)


def things(reads: str = "", writes: str = "", behind: str = "") -> Extras:
    return Extras(tuple(reads), tuple(writes), tuple(behind.split()))


def submit(stage: Stage, *names: str) -> None:
    """`a:r-x`: a reads x; `b:w-xy`: b writes x and y."""
    for name in names:
        task, _, claim = name.partition(":")
        mode, _, letters = claim.partition("-")
        stage.submit(task, extras=things(**{"r": {"reads": letters}, "w": {"writes": letters}}[mode]))


def test_readers_run_together_and_a_writer_alone(stage):
    submit(stage, "a:r-x", "b:r-x", "c:w-x", "d:w-y")
    assert stage.running == ["a", "b", "d"]
    stage.end("a")
    assert stage.state("c") is State.QUEUED
    stage.end("b")
    assert stage.state("c") is State.RUNNING


def test_a_reader_does_not_pass_a_writer_that_waits(stage):
    submit(stage, "a:r-x", "b:w-x", "c:r-x", "d:r-x")
    assert stage.running == ["a"]
    stage.end("a")
    assert stage.running == ["b"]
    stage.end("b")
    assert stage.running == ["c", "d"]


def test_a_task_waits_for_every_one_of_its_things(stage):
    submit(stage, "a:w-x", "b:w-y", "c:w-xy", "d:w-y")
    stage.end("a")
    assert stage.running == ["b"]
    stage.end("b")
    assert stage.running == ["c"]
    stage.end("c")
    assert stage.running == ["d"]


def test_priority_does_not_pass_one_that_became_queued_earlier(stage):
    submit(stage, "a:w-x", "b:w-x")
    stage.submit("urgent", priority=100, extras=things(writes="x"))
    stage.update(Action.SET_PRIORITY, "urgent", value=99)
    stage.end("a")
    assert stage.running == ["b"]


@pytest.mark.parametrize("way", ["hold", "cancel"])
def test_who_is_held_back_or_cancelled_gives_its_place_up(stage, way):
    submit(stage, "a:r-x", "b:w-x", "c:r-x")
    if way == "hold":
        stage.update(Action.HOLD, "b")
    else:
        stage.cancel("b")
    assert stage.running == ["a", "c"]
    stage.update(Action.RESUME, "b")
    stage.end("a")
    stage.end("c")
    assert stage.state("b") is (State.RUNNING if way == "hold" else State.CANCELLED)


def test_between_two_attempts_a_task_keeps_nobody_waiting(stage):
    stage.submit("a", terms(retry=2), extras=things(writes="x"))
    submit(stage, "b:w-x")
    stage.end("a", Reason.ERROR)
    assert stage.state("a") is State.RETRYING
    assert stage.running == ["b"]
    stage.wait(20)
    assert stage.state("a") is State.QUEUED
    stage.end("b")
    assert stage.running == ["a"]


def test_a_task_that_comes_back_unbegun_keeps_its_place(stage):
    submit(stage, "a:w-x", "b:w-x")
    stage.resize(0)
    stage.give_back("a")
    assert [stage.state(name) for name in "ab"] == [State.QUEUED, State.QUEUED]
    stage.resize(100)
    assert stage.running == ["a"]


def test_a_running_task_that_is_being_stopped_keeps_its_thing_until_it_has_ended(stage):
    submit(stage, "a:w-x", "b:w-x")
    stage.cancel("a")
    assert stage.running == ["a"]
    stage.end("a", Reason.CANCELLED)
    assert stage.running == ["b"]


def test_after_a_commit_that_failed_everybody_stands_where_he_stood(stage):
    submit(stage, "a:w-x", "b:w-x", "c:r-x", "d:r-x")
    stage.fail_commit(stage.ended("a"))
    assert stage.cluster.conflicts.obstacles(stage.task("b"))[0].task is stage.task("a")
    stage.end("a")
    stage.end("b")
    assert stage.running == ["c", "d"]


def graph(stage: Stage, **members: tuple[str, Extras]) -> None:
    stage.turn(Submitted([stage.new(name, after=after, extras=extras) for name, (after, extras) in members.items()]))


def test_within_a_graph_conflicts_keep_its_order_even_while_the_first_cannot_start(stage):
    stage.submit("gate")
    graph(stage, a=("gate", things(writes="x")), b=("", things(reads="x", behind="a")))
    assert stage.states("a b") == [State.PENDING, State.PENDING]
    stage.end("gate")
    stage.end("a")
    assert stage.running == ["b"]


def test_the_order_of_a_graph_asks_for_no_success(stage):
    graph(stage, a=("", things(writes="x")), b=("", things(reads="x", behind="a")))
    stage.end("a", Reason.ERROR)
    assert stage.running == ["b"]


def test_a_retry_of_the_first_comes_before_the_second(stage):
    stage.turn(
        Submitted(
            [
                stage.new("a", terms(retry=2), extras=things(writes="x")),
                stage.new("b", extras=things(writes="x", behind="a")),
            ]
        )
    )
    stage.end("a", Reason.ERROR)
    assert stage.states("a b") == [State.RETRYING, State.PENDING]


@pytest.mark.parametrize("failed_commit", [False, True])
def test_the_order_holds_when_one_in_the_middle_is_cancelled(stage, failed_commit):
    stage.submit("gate")
    graph(
        stage,
        a=("gate", things(writes="x")),
        b=("", things(writes="x", behind="a")),
        c=("", things(writes="x", behind="b")),
    )
    stage.cancel("b")
    assert stage.task("c").extras.behind == ("a",)
    if failed_commit:
        stage.fail_commit()
    assert stage.state("c") is State.PENDING
    stage.end("gate")
    assert stage.running == ["a"]
    stage.end("a")
    assert stage.running == ["c"]


def test_the_order_holds_when_one_in_the_middle_is_skipped_as_it_comes_in(stage):
    stage.submit("broken")
    stage.end("broken", Reason.ERROR)
    stage.submit("gate")
    graph(
        stage,
        a=("gate", things(writes="x")),
        b=("broken", things(writes="x", behind="a")),
        c=("", things(writes="x", behind="b")),
    )
    assert stage.states("b c") == [State.SKIPPED, State.PENDING]
    stage.end("gate")
    stage.end("a")
    assert stage.running == ["c"]


def test_waits_are_counted_for_each_thing(stage):
    submit(stage, "a:w-x", "b:w-x", "c:w-x")
    stage.wait(4)
    stage.cancel("c")
    stage.wait(2)
    stage.end("a")
    seen = stage.cluster.contention.things["x"]
    assert (seen.count, seen.seconds, seen.longest, seen.given_up, seen.mean) == (2, 10.0, 6.0, 1, 5.0)


def test_of_things_without_end_only_the_last_are_remembered():
    seen = Contention()
    for number in range(KEPT + 5):
        seen.note(f"t{number}", 1.0, in_vain=False)
    assert len(seen.things) == KEPT
    assert "t4" not in seen.things


CLAIMS = st.tuples(st.sets(st.sampled_from("abc")), st.sets(st.sampled_from("abc")))
STEPS = st.lists(st.one_of(st.tuples(st.just("join"), CLAIMS), st.tuples(st.just("leave"), st.integers(0, 30))))


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_lines_are_as_a_walk_over_all_who_stand_in_them_would_have_it(steps):
    """The model: a task may start when none of those that came before it conflicts with it."""
    lines, stands, free = Conflicts(Contention()), list[Task](), set[str]()

    def rivals(one: Task, other: Task) -> bool:
        mine, theirs = {*one.extras.reads, *one.extras.writes}, {*other.extras.reads, *other.extras.writes}
        return bool(set(one.extras.writes) & theirs or set(other.extras.writes) & mine)

    for number, (verb, what) in enumerate(steps):
        if verb == "join":
            extras = Extras(tuple(sorted(what[0])), tuple(sorted(what[1])))
            task = Task(f"t{number}", number, terms(), 0.0, Status(State.QUEUED, 0.0), extras=extras)
            if lines.join(task, 0.0):
                free.add(task.id)
            stands.append(task)
        elif stands:
            gone = stands.pop(what % len(stands))
            free.discard(gone.id)
            freed = [task.id for task in lines.leave(gone, 1.0)]
            assert free.isdisjoint(freed)
            free.update(freed)
        expected = {
            task.id for place, task in enumerate(stands) if not any(rivals(task, other) for other in stands[:place])
        }
        assert free == expected
        for task in stands:
            told = {obstacle.task for obstacle in lines.obstacles(task)}
            assert bool(told) is (task.id not in expected)
            assert all(rivals(task, other) for other in told)
    assert bool(lines.lines) is any(task.extras.reads or task.extras.writes for task in stands)
