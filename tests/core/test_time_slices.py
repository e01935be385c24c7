"""Turns by time: who makes way for whom, and what is reserved meanwhile."""

import pytest

from mcp_scheduler.core.events import Began, PolicyChosen, QueuePaused
from mcp_scheduler.core.explain import explain
from mcp_scheduler.core.node import LOCAL
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.core.task import Extras
from mcp_scheduler.policies.order import PRIORITY, TIME_SLICE
from tests.core.builders import Stage, terms
from tests.core.slicing_stage import GIB, Slicing, command


def test_a_command_makes_way_after_its_quantum_and_not_before():
    stage = Slicing()
    stage.submit("a", command())
    stage.submit("b", command())
    stage.wait(9.9)
    assert stage.running == ["a"]
    stage.wait(0.1)
    assert stage.paused == ["a"]
    assert stage.launched == ["b.1"]
    assert stage.states("a b") == [State.RUNNING, State.RUNNING]


def test_nobody_makes_way_while_nobody_waits():
    stage = Slicing()
    stage.submit("a", command())
    assert stage.cluster.next_due() is None
    stage.wait(100)
    assert not stage.paused


def test_who_comes_after_the_quantum_is_over_goes_at_once():
    stage = Slicing()
    stage.submit("a", command())
    stage.wait(100)
    stage.submit("b", command())
    assert stage.paused == ["a"]
    assert stage.launched == ["b.1"]


def test_equals_take_turns_in_the_order_in_which_they_wait():
    stage = Slicing()
    for name in "abc":
        stage.submit(name, command())
    seen = []
    while len(seen) < 6:
        stage.next_turn()  # or a look at a reservation
        seen += [attempt.partition(".")[0] for attempt in stage.launched] + stage.continued
    assert seen == ["b", "c", "a", "b", "c", "a"]


def test_one_that_ends_leaves_its_turn_to_who_stands_still():
    stage = Slicing()
    stage.submit("a", command())
    stage.submit("b", command())
    stage.wait(10)
    stage.end("b")
    assert stage.continued == ["a"]
    stage.end("a")
    assert stage.free == stage.cluster.rooms[LOCAL].total


def test_the_memory_of_who_stands_still_stays_reserved():
    stage = Slicing(1, memory=4 * GIB)
    stage.submit("a", command(amounts={"memory": 3 * GIB}))
    stage.submit("b", command(amounts={"memory": GIB}))
    stage.wait(10)
    assert stage.still == ["a"]
    assert stage.free["memory"] == 0
    stage.submit("c", command(amounts={"memory": 2 * GIB}))
    stage.wait(20)
    assert stage.state("c") is State.QUEUED


def test_a_higher_priority_is_not_taken_away_by_a_lower_one_until_that_has_aged():
    stage = Slicing()
    stage.submit("a", command(), priority=1)
    stage.submit("b", command())
    stage.wait(59)
    assert not stage.still
    stage.wait(2)
    assert stage.still == ["a"]


def test_a_higher_priority_goes_before_the_turn_of_a_lower_one():
    stage = Slicing()
    stage.submit("a", command())
    stage.submit("b", command())
    stage.submit("c", command(), priority=5)
    stage.wait(10)
    assert stage.launched == ["c.1"]


def test_several_make_way_for_a_wide_one_and_none_if_they_are_not_enough():
    stage = Slicing(3)
    stage.submit("a", command())
    stage.submit("b", terms("module.long"))
    stage.submit("c", command())
    stage.submit("wide", command(3))
    stage.wait(10)
    assert not [name for name in stage.paused if name != "b"]
    stage.end("b", seconds=60)
    assert stage.still == ["a", "c"]
    assert stage.state("wide") is State.RUNNING
    assert stage.free["cpus"] == 0


def test_a_wide_one_that_stands_still_is_not_passed_for_ever_by_narrow_ones():
    stage = Slicing(2)
    stage.submit("wide", command(2))
    stage.submit("n0", command())
    stage.wait(10)
    assert stage.still == ["wide"]
    continued = []
    for number in range(1, 30):
        stage.submit(f"n{number}", command())
        stage.wait(3)
        continued += stage.continued
        stage.end(stage.running[-1], seconds=60) if stage.running[-1] != "wide" else None
        if "wide" in continued:
            break
    assert "wide" in continued
    assert number < 12


def test_a_function_is_asked_and_queued_again_when_it_gives_way():
    stage = Slicing()
    stage.submit("a", terms("module.long"))
    stage.submit("b", terms("module.other"))
    stage.wait(10)
    assert stage.paused == ["a"]
    assert not stage.still
    stage.wait(1)
    assert not stage.paused
    stage.end("a", Reason.YIELDED, seconds=11)
    assert stage.state("b") is State.RUNNING
    assert stage.state("a") is State.QUEUED
    assert stage.status("a").failures == 0
    assert stage.status("a").reason is None
    stage.end("b", seconds=60)
    assert stage.launched == ["a.2"]


def test_one_waiting_task_asks_one_function_not_all():
    stage = Slicing(3)
    for name in "abc":
        stage.submit(name, terms(f"module.{name}"))
    stage.submit("d", terms("module.d"))
    stage.wait(10)
    first = list(stage.paused)
    stage.wait(1)
    assert (first, stage.paused) == (["a"], [])
    stage.wait(10)
    assert stage.paused == ["b"]


def test_forecasts_learn_the_whole_time_of_a_call_that_gave_way():
    stage = Slicing()
    stage.submit("a", terms("module.long"))
    stage.submit("b", terms("module.other"))
    stage.wait(10)
    stage.end("a", Reason.YIELDED, seconds=11)
    assert stage.cluster.estimates.seconds("module.long") is None
    stage.end("b", seconds=60)
    stage.end("a", seconds=4)
    assert stage.cluster.estimates.seconds("module.long") == 15


def test_a_cancelled_call_that_gives_way_is_cancelled():
    stage = Slicing()
    stage.submit("a", terms("module.long"))
    stage.cancel("a")
    stage.end("a", Reason.YIELDED)
    assert stage.state("a") is State.CANCELLED


def test_a_report_of_the_begin_that_comes_late_does_not_cut_the_time_short():
    stage = Slicing()
    stage.submit("a", command(timeout=30.0))
    began = Began(stage.attempt("a"), stage.now)
    stage.submit("b", command())
    stage.wait(10)
    stage.wait(10)
    assert stage.continued == ["a"], "it has run for 10 s and stood still for 10 s"
    stage.turn(began)
    stage.cancel("b")
    stage.wait(19)
    assert not stage.stopped
    stage.wait(1)
    assert stage.stopped == [("a", Reason.TIMEOUT)]


def test_time_in_which_a_call_stands_still_does_not_count_for_its_timeout():
    stage = Slicing()
    stage.submit("a", command(timeout=15.0))
    stage.began("a")
    stage.submit("b", command())
    stage.wait(10)
    assert stage.still == ["a"]
    stage.wait(9)
    assert not stage.stopped
    stage.end("b")
    assert stage.continued == ["a"]
    stage.wait(4.9)
    assert not stage.stopped
    stage.wait(0.2)
    assert stage.stopped == [("a", Reason.TIMEOUT)]


def test_a_cancel_reaches_who_stands_still_and_its_turn_is_over():
    stage = Slicing()
    stage.submit("a", command())
    stage.submit("b", command())
    stage.wait(10)
    stage.cancel("a")
    assert stage.stopped == [("a", None)]
    stage.end("b")
    assert stage.continued == []
    stage.end("a", Reason.CANCELLED)
    assert stage.free == stage.cluster.rooms[LOCAL].total


def test_a_failed_commit_changes_nothing_of_who_stands_still():
    stage = Slicing()
    stage.submit("a", command())
    stage.submit("b", command())
    stage.wait(10)
    stage.now += 10
    stage.fail_commit()
    assert stage.still == ["a"]
    assert stage.free["cpus"] == 0
    stage.turn()
    assert (stage.paused, stage.continued) == (["b"], ["a"])


def test_under_another_policy_nobody_makes_way_and_who_stands_still_goes_on_when_there_is_room():
    stage = Slicing()
    stage.submit("a", command())
    stage.submit("b", command())
    stage.wait(10)
    stage.turn(PolicyChosen(PRIORITY))
    stage.wait(100)
    assert stage.still == ["a"]
    stage.submit("c", command())
    stage.end("b")
    assert stage.continued == ["a"]
    assert stage.state("c") is State.QUEUED


def test_what_runs_already_takes_turns_from_the_moment_the_policy_is_chosen():
    stage = Stage(1, policy=PRIORITY)
    stage.submit("a", command())
    stage.submit("b", command())
    stage.wait(60)
    stage.turn(PolicyChosen(TIME_SLICE))
    assert stage.launched == ["b.1"]


def test_while_the_queue_is_paused_what_was_begun_goes_on_taking_turns():
    stage = Slicing()
    for name in "abc":
        stage.submit(name, command())
    stage.wait(10)
    stage.turn(QueuePaused("a person"))
    stage.next_turn()
    assert stage.continued == ["a"]
    stage.end("a")
    assert stage.continued == ["b"]
    assert stage.state("c") is State.QUEUED


def test_calls_that_conflict_give_no_place_in_their_lines_away():

    stage = Slicing()
    stage.submit("a", terms("module.long"), extras=Extras(writes=("x",)))
    stage.submit("b", terms("module.long"), extras=Extras(writes=("x",)))
    stage.submit("c", terms("module.other"))
    stage.wait(10)
    stage.end("a", Reason.YIELDED)
    assert stage.state("c") is State.RUNNING
    stage.end("c")
    assert stage.launched == ["a.2"]


def test_a_thousand_who_stand_still_would_be_too_many():
    stage = Slicing(1)
    for number in range(100):
        stage.submit(f"t{number}", command())
    for _ in range(200):
        stage.wait(10)
    assert len(stage.still) <= 64


@pytest.mark.parametrize("cpus", [1, 2, 3])
def test_nothing_is_overbooked_whoever_waits(cpus):
    stage = Slicing(cpus, memory=8 * GIB)
    for number in range(12):
        stage.submit(f"t{number}", command(1 + number % 2, amounts={"memory": GIB // 2}), priority=number % 3)
        stage.wait(4)
        assert stage.free["cpus"] >= 0
        assert stage.free["memory"] >= 0


def test_explain_says_since_when_a_command_stands_still():
    stage = Slicing()
    stage.submit("a", command())
    stage.submit("b", command())
    stage.wait(10)
    stage.wait(4)
    told = explain(stage.cluster, stage.task("a"), stage.now)
    assert (told.still, told.stood) == (stage.now - 4, 4)
    assert explain(stage.cluster, stage.task("b"), stage.now).still is None
