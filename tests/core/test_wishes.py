import pytest

from mcp_scheduler.core.changes import Remembered
from mcp_scheduler.core.decide import decide, resume
from mcp_scheduler.core.events import (
    Action,
    Began,
    CancelAsked,
    Ended,
    Origin,
    Outcome,
    Returned,
    Submitted,
    UpdateAsked,
)
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.states import Reason, State
from tests.core.builders import Stage, terms

# --- cancel


def test_a_running_task_ends_when_its_processes_have_ended_not_when_somebody_asks():
    stage = Stage()
    stage.submit("a")
    stage.cancel("a")
    assert (stage.state("a"), stage.status("a").cancel_requested) == (State.RUNNING, True)
    assert stage.stopped == [("a", None)]
    stage.end("a", Reason.CANCELLED)
    assert stage.state("a") is State.CANCELLED


def test_the_end_is_asked_for_once():
    stage = Stage()
    stage.submit("a")
    stage.cancel("a")
    stage.cancel("a")
    assert stage.stopped == []


def test_an_unbegun_call_that_is_cancelled_ends_when_it_comes_back():
    stage = Stage()
    stage.submit("a")
    stage.cancel("a")
    stage.give_back("a")
    assert stage.state("a") is State.CANCELLED


def test_a_new_engine_asks_again_for_the_end_of_what_was_cancelled():
    stage = Stage()
    for name in ("a", "b"):
        stage.submit(name)
    stage.cancel("a")
    assert resume(stage.cluster) == [(AttemptId("a", 1), None)]


def test_a_cancel_and_its_submission_in_one_batch_leave_a_cancelled_task():
    stage = Stage()
    stage.turn(Submitted([stage.new("a")]), CancelAsked(("a",)))
    assert stage.state("a") is State.CANCELLED
    assert stage.launched == []


def test_unknown_and_ended_tasks_are_passed_over():
    stage = Stage()
    stage.submit("a")
    stage.end("a")
    assert not stage.cancel("a", "nobody").changes


def test_a_request_is_remembered_with_what_it_did():
    stage = Stage()
    origin = Origin("door", "7")
    changes = stage.turn(Submitted([stage.new("a")], origin=origin)).changes
    assert changes.remembered == [Remembered(origin, "submit", ("a",))]


# --- hold and resume


def test_a_held_task_does_not_start_before_it_is_resumed():
    stage = Stage()
    stage.submit("a", hold=True)
    stage.wait(3600)
    assert stage.state("a") is State.HELD
    stage.update(Action.RESUME, "a")
    assert stage.running == ["a"]


def test_a_queued_task_that_is_held_lets_the_next_one_through():
    stage = Stage(cpus=1)
    for name in ("a", "b", "c"):
        stage.submit(name)
    stage.update(Action.HOLD, "b")
    stage.end("a")
    assert stage.running == ["c"]


def test_a_held_task_goes_back_to_what_it_waited_for():
    stage = Stage(cpus=4)
    stage.submit("a")
    stage.submit("pending", after="a")
    stage.submit("scheduled", start_after=stage.now + 60)
    stage.update(Action.HOLD, "pending", "scheduled")
    assert stage.states("pending scheduled") == [State.HELD] * 2
    stage.update(Action.RESUME, "pending", "scheduled")
    assert stage.states("pending scheduled") == [State.PENDING, State.SCHEDULED]


def test_dependencies_that_end_while_a_task_is_held_are_counted():
    stage = Stage()
    stage.submit("a")
    stage.submit("b", after="a", hold=True)
    stage.end("a")
    assert stage.state("b") is State.HELD
    stage.update(Action.RESUME, "b")
    assert stage.running == ["b"]


def test_a_hold_keeps_the_backoff_that_is_left():
    stage = Stage()
    stage.submit("a", terms(retry=2))
    stage.end("a", Reason.ERROR)
    stage.update(Action.HOLD, "a")
    stage.wait(4)
    stage.update(Action.RESUME, "a")
    assert stage.state("a") is State.SCHEDULED
    stage.wait(6)
    assert stage.running == ["a"]


@pytest.mark.parametrize("action", [Action.HOLD, Action.RESUME, Action.SET_PRIORITY])
def test_what_does_not_apply_to_an_ended_task_changes_nothing(action):
    stage = Stage()
    stage.submit("a", hold=True)
    stage.cancel("a")  # it was held when it ended
    assert not stage.update(action, "a", value=5).changes


def test_a_held_task_costs_no_timer_however_often_it_is_held(monkeypatch):
    monkeypatch.setattr("mcp_scheduler.core.timers.SWEEP", 10)
    stage = Stage()
    stage.submit("a", start_after=stage.now + 3600)
    for _ in range(200):
        stage.update(Action.HOLD, "a")
        stage.update(Action.RESUME, "a")
    assert len(stage.cluster.timers) < 50
    stage.wait(3600)
    assert stage.running == ["a"]


# --- priority


def test_a_priority_can_be_changed_while_waiting():
    stage = Stage(cpus=1)
    for name in ("a", "b", "c"):
        stage.submit(name)
    stage.update(Action.SET_PRIORITY, "c", value=5)
    stage.end("a")
    assert stage.running == ["c"]


def test_a_priority_that_stays_the_same_costs_no_place_and_no_commit():
    stage = Stage(cpus=1)
    for name in ("a", "b", "c"):
        stage.submit(name)
    assert not stage.update(Action.SET_PRIORITY, "b", value=0).changes
    stage.end("a")
    assert stage.running == ["b"]


# --- timeouts


def test_a_call_is_stopped_when_its_time_is_over_counted_from_its_beginning():
    stage = Stage()
    stage.submit("a", terms(timeout=30.0))
    stage.wait(100)
    assert stage.stopped == []
    stage.began("a")
    stage.wait(29)
    assert stage.stopped == []
    stage.wait(1)
    assert stage.stopped == [("a", Reason.TIMEOUT)]
    stage.end("a", Reason.TIMEOUT)
    assert (stage.state("a"), stage.status("a").reason) == (State.FAILED, Reason.TIMEOUT)


def test_the_timeout_of_an_earlier_attempt_does_not_stop_a_later_one():
    stage = Stage()
    stage.submit("a", terms(timeout=30.0, retry=2))
    stage.began("a")
    stage.end("a", Reason.ERROR)
    stage.wait(10)
    assert stage.attempt("a").number == 2
    stage.wait(25)
    assert stage.stopped == []


def test_a_timeout_outlives_a_commit_that_failed():
    stage = Stage()
    stage.submit("a", terms(timeout=30.0))
    stage.began("a")
    stage.now += 31
    stage.fail_commit()  # the timer had fired
    stage.wait(0)
    assert stage.stopped == [("a", Reason.TIMEOUT)]


def test_timeouts_of_what_has_ended_do_not_pile_up(monkeypatch):
    monkeypatch.setattr("mcp_scheduler.core.timers.SWEEP", 10)
    stage = Stage()
    for number in range(100):
        stage.submit(f"t{number}", terms(timeout=3600.0))
        stage.began(f"t{number}")
        stage.end(f"t{number}")
    assert len(stage.cluster.timers) <= 30
    assert stage.cluster.began == {}


# --- fencing


@pytest.mark.parametrize("number", [0, 1, 3, 99])
def test_a_report_of_another_number_changes_nothing(number):
    stage = Stage()
    stage.submit("a", terms(retry=3))
    stage.end("a", Reason.ERROR)
    stage.wait(10)
    late = AttemptId("a", number)
    for event in (Ended(late, stage.now, Outcome()), Returned(late), Began(late, stage.now)):
        assert not stage.turn(event).changes
        assert (stage.state("a"), stage.status("a").number) == (State.RUNNING, 2)
    stage.turn(Ended(late, stage.now, Outcome()))
    assert stage.settled == [str(late)]  # whoever made it may forget it


def test_a_report_that_comes_twice_counts_once():
    stage = Stage()
    stage.submit("a", terms(retry=3))
    ended = stage.ended("a", Reason.ERROR)
    stage.turn(ended, ended)
    stage.turn(ended)
    assert stage.status("a").failures == 1


def test_a_report_about_an_unknown_task_is_settled_and_forgotten():
    stage = Stage()
    stage.turn(Ended(AttemptId("nobody", 1), stage.now, Outcome()))
    assert stage.settled == ["nobody.1"]


def test_an_attempt_that_comes_back_unbegun_is_counted_as_nothing_and_its_number_is_spent():
    stage = Stage(cpus=1)
    stage.submit("a")
    stage.submit("b")
    stage.give_back("a")
    assert stage.running == ["a"]  # before b
    status = stage.status("a")
    assert (status.number, status.failures, status.losses, status.crashes) == (2, 0, 0, 0)


# --- a commit that fails


def test_a_refused_batch_leaves_no_trace():
    stage = Stage(cpus=1)
    stage.submit("a", key="first")
    before = dict(stage.cluster.counts)
    stage.fail_commit(Submitted([stage.new("b", key="second")]), stage.ended("a"), CancelAsked(("a",)))
    assert stage.cluster.counts == before
    assert stage.running == ["a"]
    stage.submit("c", key="second")
    assert stage.decision.refused == {}


def test_a_rebuilt_cluster_decides_as_the_first_one_would():
    stage = Stage(cpus=1)
    stage.submit("a", terms(retry=2))
    for name, priority in (("b", 0), ("c", 5), ("d", 0)):
        stage.submit(name, priority=priority)
    stage.submit("e", after="a")
    stage.submit("f", start_after=stage.now + 5)
    stage.fail_commit()
    stage.end("a", Reason.ERROR)
    order = []
    for _ in range(5):
        order += stage.running
        stage.end(stage.running[0])
        stage.wait(10)
    assert order == ["c", "b", "d", "a", "f"]
    assert stage.running == ["e"]


def test_keys_are_looked_at_against_the_batch_the_cluster_and_the_submission_itself():
    stage = Stage()
    stage.submit("a", key="k")
    stage.turn(
        Submitted([stage.new("b", key="k")]),
        Submitted([stage.new("c", key="other")]),
        Submitted([stage.new("d", key="other")]),
        Submitted([stage.new("e", key="twice"), stage.new("f", key="twice")]),
        Submitted([stage.new("g", terms(principal="bob"), key="k")]),
    )
    assert {index: code for index, (code, _) in stage.decision.refused.items()} == {
        0: "duplicate_key", 2: "duplicate_key", 3: "duplicate_key",
    }  # fmt: skip
    assert set(stage.cluster.tasks) == {"a", "c", "g"}


def test_a_decision_is_the_same_every_time():
    def play():
        stage = Stage(cpus=2)
        stage.turn(Submitted([stage.new(f"t{number}", terms(f"m.f{number % 3}", retry=2)) for number in range(20)]))
        for number in range(0, 20, 3):
            if stage.state(f"t{number}") is State.RUNNING:
                stage.end(f"t{number}", Reason.ERROR if number % 2 else None)
        return [(str(attempt), stage.state(attempt.task)) for attempt in stage.cluster.attempts]

    assert play() == play()


def test_a_deadline_is_kept_with_the_task():
    stage = Stage(cpus=1)
    stage.submit("a")
    decision = decide(stage.cluster, [UpdateAsked(("a",), Action.SET_DEADLINE, 99.0)], stage.now)
    assert decision.changes.deadlines == {"a": 99.0}
    stage.cluster.apply(decision.changes)
    assert stage.task("a").deadline == 99.0
