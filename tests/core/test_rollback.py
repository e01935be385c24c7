from dataclasses import replace

import pytest

from mcp_scheduler.core.events import Action, Group, Submitted, UpdateAsked
from mcp_scheduler.core.recurring import may_rest
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.core.task import Extras
from tests.core.builders import Stage, terms


def graph(stage, edges, undone=""):
    """A graph of `edges`, in which the tasks of `undone` have compensations: "undo-NAME"."""
    new = []
    for name, after in edges.items():
        extras = Extras(undo=f"undo-{name}") if name in undone.split() else Extras()
        new.append(stage.new(name, after=after, group="g", extras=extras))
    new += [stage.new(f"undo-{name}", extras=Extras(undoes=name, saga="g")) for name in undone.split()]
    return stage.turn(Submitted(new, Group("g", "", "graph", "ann", len(edges), stage.now)))


def alone(stage, name="work", asked=None, *, undo=None, hold=False):
    own = stage.new(name, asked, extras=Extras(undo=f"undo-{name}"), hold=hold)
    return stage.turn(Submitted([own, stage.new(f"undo-{name}", undo, extras=Extras(undoes=name, saga=name))]))


def rollback(stage, name):
    return stage.task(name).extras.rollback


def test_what_succeeds_is_not_undone():
    stage = Stage()
    alone(stage)
    assert stage.states("work undo-work") == [State.RUNNING, State.PENDING]
    stage.end("work")
    assert stage.states("work undo-work") == [State.SUCCEEDED, State.SKIPPED]
    assert stage.status("undo-work").error == "Nothing had to be undone."


def test_the_final_failure_starts_the_compensation_and_the_task_ends_with_it():
    stage = Stage()
    alone(stage)
    stage.submit("child", after="work")
    stage.end("work", Reason.ERROR)
    assert stage.states("work undo-work child") == [State.ROLLING_BACK, State.RUNNING, State.SKIPPED]
    assert rollback(stage, "work") == "running"
    stage.end("undo-work")
    assert stage.states("work undo-work") == [State.FAILED, State.SUCCEEDED]
    assert (stage.status("work").reason, rollback(stage, "work")) == (Reason.ERROR, "done")


def test_a_failure_that_is_retried_undoes_nothing_yet():
    stage = Stage()
    alone(stage, asked=terms(retry=2))
    stage.end("work", Reason.ERROR)
    assert stage.states("work undo-work") == [State.RETRYING, State.PENDING]
    stage.wait(30)
    stage.end("work", Reason.ERROR)
    assert stage.states("work undo-work") == [State.ROLLING_BACK, State.RUNNING]


def test_a_compensation_is_retried_by_its_own_rule_and_its_failure_is_told():
    stage = Stage()
    alone(stage, undo=terms(retry=2))
    stage.end("work", Reason.CRASHED)
    stage.end("undo-work", Reason.ERROR)
    assert stage.states("work undo-work") == [State.ROLLING_BACK, State.RETRYING]
    stage.wait(30)
    stage.end("undo-work", Reason.ERROR)
    assert stage.states("work undo-work") == [State.FAILED, State.FAILED]
    assert rollback(stage, "work") == "failed"


def test_a_cancel_rolls_nothing_back():
    stage = Stage()
    alone(stage, hold=True)
    stage.cancel("work")
    assert stage.states("work undo-work") == [State.CANCELLED, State.SKIPPED]


def test_a_graph_is_undone_in_the_reverse_order_of_its_ends_once_nothing_of_it_is_open():
    stage = Stage(cpus=4)
    graph(stage, {"a": "", "b": "", "c": "a b", "slow": "", "last": "c"}, undone="a b c slow")
    stage.end("b")
    stage.end("a")
    stage.end("c", Reason.ERROR)
    assert stage.states("c last") == [State.ROLLING_BACK, State.SKIPPED]
    assert stage.running == ["slow"]  # it may still need what a and b have made
    stage.end("slow")
    order = []
    while stage.running:
        (name,) = stage.running
        order.append(name)
        assert stage.state("c") is State.ROLLING_BACK
        stage.end(name)
    assert order == ["undo-c", "undo-slow", "undo-a", "undo-b"]
    assert stage.state("c") is State.FAILED
    assert rollback(stage, "c") == "done"


def test_one_that_cannot_be_undone_does_not_keep_the_others():
    stage = Stage(cpus=4)
    graph(stage, {"a": "", "b": "", "c": "a b"}, undone="a b")
    stage.end("a")
    stage.end("b")
    stage.end("c", Reason.ERROR)
    stage.end("undo-b", Reason.ERROR)
    assert stage.running == ["undo-a"]
    stage.end("undo-a")
    assert (stage.state("c"), rollback(stage, "c")) == (State.FAILED, "failed")


def test_nothing_of_a_graph_is_undone_that_was_cancelled():
    stage = Stage(cpus=1)
    graph(stage, {"a": "", "b": ""}, undone="a b")
    stage.cancel("b")
    stage.end("a", Reason.ERROR)
    assert stage.running == ["undo-a"]
    stage.end("undo-a")
    assert stage.states("a b undo-b") == [State.FAILED, State.CANCELLED, State.SKIPPED]


@pytest.mark.parametrize("ends", [0, 1, 2, 3])
def test_a_rollback_goes_on_where_a_failed_commit_or_a_restart_has_left_it(ends):
    stage = Stage(cpus=4)
    graph(stage, {"a": "", "b": "a", "c": "b"}, undone="a b c")
    todo = ["a", "b", ("c", Reason.ERROR), "undo-c", "undo-b", "undo-a"]
    for number, step in enumerate(todo):
        name, reason = step if isinstance(step, tuple) else (step, None)
        if number >= ends:
            stage.fail_commit(stage.ended(name, reason))
        stage.end(name, reason)
    assert stage.states("a b c") == [State.SUCCEEDED, State.SUCCEEDED, State.FAILED]
    assert rollback(stage, "c") == "done"


def test_what_was_rolled_back_is_not_run_again_but_its_compensation_is():
    stage = Stage()
    alone(stage)
    stage.end("work", Reason.ERROR)
    stage.update(Action.RETRY, "undo-work")
    assert stage.running == ["undo-work"]
    stage.end("undo-work", Reason.ERROR)
    stage.update(Action.RETRY, "work")
    assert stage.state("work") is State.FAILED
    stage.update(Action.RETRY, "undo-work")
    assert stage.running == ["undo-work"]
    stage.end("undo-work")
    assert stage.states("work undo-work") == [State.FAILED, State.SUCCEEDED]


def test_a_task_that_is_run_again_by_a_person_can_be_undone_again():
    stage = Stage()
    graph(stage, {"a": "", "b": ""}, undone="a b")
    stage.cancel("b")
    stage.end("b", Reason.CANCELLED)
    stage.end("a")
    assert stage.states("undo-a undo-b") == [State.SKIPPED, State.SKIPPED]
    stage.turn(UpdateAsked(("b",), Action.RETRY))
    assert stage.states("b undo-b") == [State.RUNNING, State.PENDING]
    stage.end("b", Reason.ERROR)
    assert stage.running == ["undo-b"]


def test_a_cancel_of_a_compensation_that_was_skipped_before_changes_nothing_when_its_owner_is_run_again():
    stage = Stage()
    alone(stage)
    stage.cancel("work")
    stage.end("work", Reason.CANCELLED)
    stage.cancel("undo-work")
    assert stage.states("work undo-work") == [State.CANCELLED, State.SKIPPED]
    stage.update(Action.RETRY, "work")
    stage.end("work", Reason.ERROR)
    assert stage.running == ["undo-work"]


def test_a_compensation_that_a_person_runs_again_holds_up_no_other_rollback_after_a_restart():
    stage = Stage()
    graph(stage, {"a": "", "b": ""}, undone="a b")
    stage.cancel("b")
    stage.end("b", Reason.CANCELLED)
    stage.end("a")
    stage.turn(UpdateAsked(("undo-a", "b"), Action.RETRY))
    assert set(stage.running) == {"undo-a", "b"}
    stage.fail_commit()
    stage.end("b", Reason.ERROR)
    assert stage.states("b undo-b") == [State.ROLLING_BACK, State.RUNNING]
    stage.end("undo-b")
    assert rollback(stage, "b") == "done"


def test_a_compensation_waits_whatever_is_asked_of_it():
    stage = Stage()
    alone(stage)
    stage.update(Action.HOLD, "undo-work")
    stage.update(Action.RESUME, "undo-work")
    assert stage.state("undo-work") is State.PENDING
    stage.cancel("undo-work")
    stage.update(Action.RETRY, "undo-work")
    assert stage.state("undo-work") is State.CANCELLED
    stage.end("work", Reason.ERROR)
    assert stage.state("work") is State.FAILED


def test_a_failure_with_nothing_to_undo_ends_at_once():
    stage = Stage()
    graph(stage, {"a": "", "b": "a"}, undone="b")
    stage.end("a", Reason.ERROR)
    assert stage.states("a b undo-b") == [State.FAILED, State.SKIPPED, State.SKIPPED]
    assert rollback(stage, "a") == ""
    stage.turn(UpdateAsked(("a",), Action.RETRY))
    assert stage.state("a") is State.RUNNING


def test_what_waits_in_vain_until_its_deadline_fails_its_graph():
    stage = Stage(cpus=1)
    late = stage.new("late", after="first", group="g")
    late.task.deadline = stage.now + 10
    first = stage.new("first", group="g", extras=Extras(undo="undo-first"))
    undo = stage.new("undo-first", extras=Extras(undoes="first", saga="g"))
    stage.turn(Submitted([first, late, undo], Group("g", "", "graph", "ann", 2, stage.now)))
    stage.wait(20)
    assert stage.states("first late undo-first") == [State.RUNNING, State.ROLLING_BACK, State.PENDING]
    stage.end("first")
    assert stage.running == ["undo-first"]
    stage.end("undo-first")
    assert stage.state("late") is State.FAILED
    assert stage.status("late").reason is Reason.EXPIRED
    assert rollback(stage, "late") == "done"


def test_an_engine_may_rest_while_all_that_could_fail_is_held_back():
    stage = Stage()
    alone(stage, hold=True)
    assert may_rest(stage.cluster, stage.now + 60)
    stage.update(Action.RESUME, "work")
    assert not may_rest(stage.cluster, stage.now + 60)


def test_a_late_dependant_of_what_is_rolled_back_is_skipped():
    stage = Stage()
    alone(stage)
    stage.end("work", Reason.ERROR)
    stage.submit("late", after="work")
    assert stage.state("late") is State.SKIPPED
    assert replace(stage.task("work").extras, rollback="") == Extras(undo="undo-work")
