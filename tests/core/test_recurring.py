"""Tasks that recur: when the next occurrence comes, what becomes of missed times, and that none is there twice."""

from __future__ import annotations

import pytest

from mcp_scheduler.core.events import Action, CancelAsked
from mcp_scheduler.core.recurring import may_rest
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.core.task import Extras, Terms
from tests.core.builders import Stage, terms


@pytest.fixture
def stage() -> Stage:
    return Stage()


class Noon:
    """A calendar with one line: every hundred seconds, and never after 5000."""

    def after(self, line: str, moment: float) -> float | None:
        assert line == "noon"
        when = (moment // 100 + 1) * 100
        return when if when <= 5000 else None


def begin(stage: Stage, catch_up: str = "one", *, every: float = 100.0, asked: Terms | None = None, **more) -> None:
    extras = Extras(every=every, catch_up=catch_up, occurrence=1, time=stage.now, **more)
    stage.submit("s-1", asked, group="s", start_after=stage.now, extras=extras)


def test_the_next_occurrence_is_made_when_the_one_before_has_ended(stage):
    begin(stage)
    assert "s-2" not in stage.cluster.tasks
    stage.wait(30)
    stage.end("s-1")
    assert (stage.state("s-2"), stage.status("s-2").due) == (State.SCHEDULED, 1100.0)
    assert [(new.task.id, new.like) for new in stage.decision.changes.added] == [("s-2", "s-1")]
    assert not stage.task("s-1").extras.recurs
    stage.wait(70)
    assert stage.running == ["s-2"]


def test_it_keeps_its_times_however_long_it_runs(stage):
    begin(stage)
    for number in range(1, 4):
        stage.wait(7 * number)
        stage.end(f"s-{number}")
        due = stage.status(f"s-{number + 1}").due
        assert due == 1000.0 + 100 * number
        stage.wait(due - stage.now)


@pytest.mark.parametrize("end", [Reason.ERROR, Reason.CRASHED])
def test_a_failure_does_not_end_the_series(stage, end):
    begin(stage)
    stage.end("s-1", end)
    assert stage.states("s-1 s-2") == [State.FAILED, State.SCHEDULED]


def test_a_retry_belongs_to_its_occurrence(stage):
    begin(stage, asked=terms(retry=2))
    stage.end("s-1", Reason.ERROR)
    assert stage.state("s-1") is State.RETRYING
    assert "s-2" not in stage.cluster.tasks


@pytest.mark.parametrize(
    ("catch_up", "times"), [("skip", [1400]), ("one", [1300, 1400]), ("all", [1100, 1200, 1300, 1400])]
)
def test_times_that_pass_while_one_runs_are_missed(stage, catch_up, times):
    begin(stage, catch_up)
    stage.wait(350)
    seen = []
    for number in range(1, len(times) + 1):
        stage.end(f"s-{number}")
        seen.append(stage.task(f"s-{number + 1}").extras.time)
    assert seen == times
    assert stage.state(f"s-{len(times) + 1}") is State.SCHEDULED


@pytest.mark.parametrize(("catch_up", "started"), [("skip", False), ("one", True), ("all", True)])
def test_times_without_an_engine_are_missed(stage, catch_up, started):
    begin(stage, catch_up)
    stage.end("s-1")
    stage.now += 86_450.0
    stage.cluster.rebuild()
    stage.turn()
    assert stage.running == (["s-2"] if started else [])
    if catch_up == "skip":
        assert stage.status("s-2").due == 87_500.0
    else:
        stage.end("s-2")
        following = stage.task("s-3").extras.time
        assert following == (87_500.0 if catch_up == "one" else 1200.0)
        assert stage.state("s-3") is (State.SCHEDULED if catch_up == "one" else State.RUNNING)


def test_a_day_without_an_engine_starts_no_storm(stage):
    begin(stage, "all", every=1.0)
    stage.now += 86_400.0
    stage.end("s-1")
    assert stage.running == ["s-2"]
    assert len(stage.cluster.tasks) == 2


def test_a_clock_that_was_set_back_makes_it_wait_not_run_again(stage):
    begin(stage)
    stage.end("s-1")
    stage.now -= 5000.0
    stage.cluster.rebuild()
    stage.turn()
    assert stage.state("s-2") is State.SCHEDULED
    assert len(stage.cluster.tasks) == 2


def test_cancel_of_one_occurrence_goes_on_with_the_next(stage):
    begin(stage)
    stage.cancel("s-1")
    stage.end("s-1", Reason.CANCELLED)
    stage.cancel("s-2")
    assert stage.states("s-1 s-2 s-3") == [State.CANCELLED, State.CANCELLED, State.SCHEDULED]
    assert stage.task("s-3").extras.time == 1200.0


def test_cancel_for_good_ends_the_series_even_if_its_occurrence_has_just_ended(stage):
    begin(stage)
    stage.end("s-1")
    stage.turn(CancelAsked(("s-1",), for_good=frozenset({"s-1"})))
    assert stage.state("s-2") is State.CANCELLED
    assert "s-3" not in stage.cluster.tasks


def test_an_occurrence_that_is_run_again_makes_no_second_successor(stage):
    begin(stage)
    stage.end("s-1", Reason.ERROR)
    stage.update(Action.RETRY, "s-1")
    stage.end("s-1")
    assert set(stage.cluster.tasks) == {"s-1", "s-2"}


def test_hold_while_it_runs_holds_the_next_one(stage):
    begin(stage)
    stage.update(Action.HOLD, "s-1")
    stage.wait(950)
    stage.end("s-1")
    assert stage.state("s-2") is State.HELD
    stage.update(Action.RESUME, "s-2")
    assert stage.running == ["s-2"]


def test_one_that_was_held_past_its_time_follows_its_rule(stage):
    begin(stage, "skip")
    stage.end("s-1")
    stage.update(Action.HOLD, "s-2")
    stage.wait(250)
    stage.update(Action.RESUME, "s-2")
    assert (stage.state("s-2"), stage.status("s-2").due) == (State.SCHEDULED, 1300.0)


def test_a_failed_commit_makes_no_occurrence(stage):
    begin(stage)
    stage.fail_commit(stage.ended("s-1"))
    assert stage.running == ["s-1"]
    stage.end("s-1")
    assert stage.state("s-2") is State.SCHEDULED


def test_lines_of_cron_are_read_by_the_calendar_and_may_come_to_an_end(stage):
    stage.cluster.calendar = Noon()
    begin(stage, cron="noon", every=100.0)
    stage.end("s-1")
    assert stage.status("s-2").due == 1100.0
    stage.wait(4000)
    assert stage.running == ["s-2"]
    stage.end("s-2")
    assert "s-3" not in stage.cluster.tasks


def test_priority_and_things_go_on_with_the_series(stage):
    begin(stage, writes=("x",))
    stage.update(Action.SET_PRIORITY, "s-1", value=7)
    stage.end("s-1")
    assert (stage.status("s-2").priority, stage.task("s-2").extras.writes) == (7, ("x",))


def test_an_engine_may_rest_while_nothing_is_due(stage):
    begin(stage, every=1000.0)
    assert not may_rest(stage.cluster, stage.now)
    stage.end("s-1")
    assert may_rest(stage.cluster, stage.now + 999)
    assert not may_rest(stage.cluster, stage.now + 1000)
    stage.submit("other", start_after=stage.now + 9999)
    assert not may_rest(stage.cluster, stage.now)
    stage.update(Action.HOLD, "other")
    assert may_rest(stage.cluster, stage.now)
