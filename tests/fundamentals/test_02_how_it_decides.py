"""Read these second: how the scheduler decides. Nothing runs here: an event goes in, changes and effects come out."""

from mcp_scheduler.core.events import CancelAsked, Ended, Outcome
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.states import Reason, State
from tests.core.builders import Stage, needs, terms


def test_an_event_goes_in_and_changes_and_effects_come_out():
    stage = Stage(cpus=1)
    decision = stage.submit("a")
    assert [new.task.id for new in decision.changes.added] == ["a"]
    assert [str(attempt.id) for attempt in decision.changes.started] == ["a.1"]
    assert stage.launched == ["a.1"]


def test_a_task_starts_when_what_it_needs_is_free():
    stage = Stage(cpus=2)
    stage.submit("wide", terms(needs=needs(2)))
    stage.submit("narrow")
    assert stage.states("wide narrow") == [State.RUNNING, State.QUEUED]
    stage.end("wide")
    assert stage.running == ["narrow"]


def test_higher_priority_goes_first_and_waiting_makes_up_for_it():
    stage = Stage(cpus=1)
    stage.submit("running")
    stage.submit("patient")
    stage.now += 3600  # an hour is worth 60 points of priority
    stage.submit("hasty", priority=50)
    stage.submit("urgent", priority=100)
    for name in ("running", "urgent", "patient"):
        stage.end(name)
    assert stage.running == ["hasty"]


def test_every_attempt_has_a_number_and_late_reports_are_recognised_by_it():
    stage = Stage()
    stage.submit("a", terms(retry=3))
    stage.end("a", Reason.LOST)
    stage.wait(10)
    assert stage.launched == ["a.2"]
    stage.turn(Ended(AttemptId("a", 1), stage.now, Outcome()))  # the first one was alive after all
    assert stage.state("a") is State.RUNNING


def test_a_failure_waits_longer_each_time_before_the_next_try():
    stage = Stage()
    stage.submit("a", terms(retry=4))
    waits = []
    for _ in range(3):
        stage.end("a", Reason.ERROR)
        waits.append(stage.status("a").due - stage.now)
        stage.wait(60)
    assert waits == [10, 20, 40]


def test_a_crash_repeats_nothing_unless_the_function_may_run_twice():
    stage = Stage(cpus=2)
    stage.submit("once")
    stage.submit("twice", terms(idempotent=True))
    for name in ("once", "twice"):
        stage.end(name, Reason.CRASHED)
    assert stage.states("once twice") == [State.FAILED, State.RETRYING]


def test_a_wish_is_not_a_state_a_running_task_has_ended_when_its_processes_have():
    stage = Stage()
    stage.submit("a")
    stage.turn(CancelAsked(("a",)))
    assert (stage.state("a"), stage.stopped) == (State.RUNNING, [("a", None)])
    stage.end("a", Reason.CANCELLED)
    assert stage.state("a") is State.CANCELLED


def test_what_was_not_committed_has_not_happened():
    stage = Stage()
    stage.fail_commit(CancelAsked(("a",)))
    assert stage.cluster.tasks == {}
