import pytest

from mcp_scheduler.core.events import Action, Group, Submitted, UpdateAsked
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.core.task import Extras, Retry
from tests.core.builders import Stage, terms

DIAMOND = {"top": "", "left": "top", "right": "top", "bottom": "left right"}


def graph(stage, edges, asked=None):
    new = [stage.new(name, asked, after=after) for name, after in edges.items()]
    return stage.turn(Submitted(new, Group("g", "", "graph", "ann", len(new), stage.now)))


def test_a_task_waits_for_its_dependencies():
    stage = Stage(cpus=4)
    graph(stage, DIAMOND)
    assert stage.states("top left right bottom") == [State.RUNNING, State.PENDING, State.PENDING, State.PENDING]
    stage.end("top")
    assert stage.running == ["left", "right"]
    stage.end("left")
    assert stage.state("bottom") is State.PENDING
    stage.end("right")
    assert stage.running == ["bottom"]


def test_a_failure_skips_everything_below_and_says_why():
    stage = Stage(cpus=4)
    graph(stage, DIAMOND | {"deep": "bottom"})
    stage.end("top", Reason.ERROR)
    assert stage.states("left right bottom deep") == [State.SKIPPED] * 4
    assert stage.status("left").error == "Its dependency top did not succeed (failed)."


def test_a_failure_that_is_retried_skips_nothing():
    stage = Stage(cpus=4)
    graph(stage, DIAMOND, terms(retry=2))
    stage.end("top", Reason.ERROR)
    assert stage.states("top left") == [State.RETRYING, State.PENDING]


def test_a_cancelled_dependency_skips_too():
    stage = Stage(cpus=1)
    stage.submit("first")
    graph(stage, DIAMOND)
    stage.cancel("top")
    assert stage.states("top left bottom") == [State.CANCELLED, State.SKIPPED, State.SKIPPED]


def test_a_chain_of_ten_thousand_is_skipped_without_recursion():
    stage = Stage(cpus=1)
    graph(stage, {f"c{number}": f"c{number - 1}" if number else "" for number in range(10_000)})
    stage.end("c0", Reason.ERROR)
    assert stage.state("c9999") is State.SKIPPED


def test_a_dependency_that_has_left_memory_is_known_by_its_end():
    stage = Stage()
    new = [stage.new("a", after="gone"), stage.new("b", after="failed"), stage.new("c", after="unheard")]
    stage.turn(Submitted(new, outside={"gone": State.SUCCEEDED, "failed": State.FAILED}))
    assert stage.states("a b c") == [State.RUNNING, State.SKIPPED, State.SKIPPED]


def test_the_order_in_a_submission_does_not_matter():
    stage = Stage()
    new = [stage.new("last", after="middle"), stage.new("middle", after="first"), stage.new("first", after="nobody")]
    stage.turn(Submitted(new))
    assert stage.states("last middle first") == [State.SKIPPED] * 3


def test_a_dependency_named_twice_counts_once():
    stage = Stage()
    stage.submit("a")
    stage.submit("b", after="a a")
    stage.end("a")
    assert stage.running == ["b"]


def test_a_task_waits_for_its_time_after_its_dependencies():
    stage = Stage()
    stage.submit("a")
    stage.submit("b", after="a", start_after=stage.now + 60)
    stage.end("a")
    assert stage.state("b") is State.SCHEDULED
    stage.wait(59)
    assert stage.state("b") is State.SCHEDULED
    stage.wait(1)
    assert stage.running == ["b"]


# --- another try


def test_a_skipped_task_is_retried_together_with_what_broke_it():
    stage = Stage()
    graph(stage, DIAMOND)
    stage.end("top", Reason.ERROR)
    stage.update(Action.RETRY, "bottom", "left", "right", "top")  # in whatever order they are named
    assert stage.states("top left right bottom") == [State.RUNNING, State.PENDING, State.PENDING, State.PENDING]
    for name in ("top", "left", "right", "bottom"):
        stage.end(name)
    assert stage.states("top left right bottom") == [State.SUCCEEDED] * 4


def test_a_skipped_task_alone_cannot_be_retried_while_its_dependency_is_broken():
    stage = Stage()
    graph(stage, DIAMOND)
    stage.end("top", Reason.ERROR)
    stage.update(Action.RETRY, "left")
    assert stage.state("left") is State.SKIPPED
    assert "top did not succeed" in stage.status("left").error


def test_a_task_cancelled_while_it_waited_still_waits_for_its_dependencies_when_retried():
    stage = Stage()
    graph(stage, {"a": "", "b": "a"})
    stage.cancel("b")
    stage.update(Action.RETRY, "b")
    assert stage.state("b") is State.PENDING
    stage.end("a")
    assert stage.running == ["b"]


def test_a_task_cancelled_before_its_time_still_waits_for_it_when_retried():
    stage = Stage()
    stage.submit("a", start_after=stage.now + 60)
    stage.cancel("a")
    stage.update(Action.RETRY, "a")
    assert stage.state("a") is State.SCHEDULED


def test_a_retried_task_is_counted_once_by_each_dependency():
    """Its earlier wait must leave no trace: two entries with one dependency would release it too early."""
    stage = Stage(cpus=8)
    for name in ("a", "b", "c"):
        stage.submit(name)
    stage.submit("sink", after="a b c")
    stage.end("a", Reason.ERROR)
    stage.update(Action.RETRY, "a", "sink")
    stage.end("b")
    stage.end("c")
    assert stage.state("sink") is State.PENDING
    stage.end("a")
    assert stage.running == ["sink"]


def test_retry_starts_the_counters_anew_and_goes_on_with_the_numbers():
    stage = Stage()
    stage.submit("a", terms(retry=2))
    for _ in range(2):
        stage.end("a", Reason.ERROR)
        stage.wait(3600)
    assert (stage.state("a"), stage.status("a").failures, stage.status("a").number) == (State.FAILED, 2, 2)
    stage.update(Action.RETRY, "a")
    assert (stage.status("a").failures, stage.status("a").number, stage.status("a").error) == (0, 3, "")
    stage.end("a", Reason.ERROR)
    assert stage.state("a") is State.RETRYING


def test_a_revived_task_knows_how_its_dependencies_ended():
    stage = Stage()
    stage.submit("a", after="old", hold=False)
    gone = stage.task("a")
    assert gone.status.state is State.SKIPPED
    stage.cluster.tasks.pop("a")
    stage.cluster.counts[State.SKIPPED] -= 1
    stage.cluster.tail.clear()
    stage.turn(UpdateAsked(("a",), Action.RETRY, revived=(gone,), outside={"old": State.SUCCEEDED}))
    assert stage.running == ["a"]


def test_what_has_ended_leaves_memory_after_a_while_and_takes_its_key_along(monkeypatch):
    monkeypatch.setattr("mcp_scheduler.core.cluster.TAIL", 3)
    stage = Stage(cpus=8)
    for number in range(6):
        stage.submit(f"t{number}", key=f"k{number}")
        stage.end(f"t{number}")
    assert stage.state("t5") is State.SUCCEEDED
    stage.turn(stage_submitted := Submitted([stage.new("last")]))
    assert stage_submitted.tasks
    assert len([name for name in stage.cluster.tasks if name != "last"]) == 3
    assert len(stage.cluster.keys) == 3


def test_a_batch_that_ends_more_than_the_tail_is_still_there_for_those_who_hear_of_it(monkeypatch):
    monkeypatch.setattr("mcp_scheduler.core.cluster.TAIL", 3)
    stage = Stage(cpus=1)
    stage.turn(Submitted([stage.new(f"t{number}") for number in range(20)]))
    stage.cancel(*(f"t{number}" for number in range(1, 20)))
    assert all(name in stage.cluster.tasks for name in stage.decision.changes.statuses)


@pytest.mark.parametrize("state", ["pending", "queued", "scheduled", "held", "retrying"])
def test_a_waiting_task_that_is_cancelled_ends_at_once(state):
    stage = Stage(cpus=1)
    stage.submit("first", terms(retry=Retry(3, 100.0, jitter=0.0)))
    match state:
        case "pending":
            stage.submit("a", after="first")
        case "queued":
            stage.submit("a")
        case "scheduled":
            stage.submit("a", start_after=stage.now + 60)
        case "held":
            stage.submit("a", hold=True)
        case "retrying":
            stage.end("first", Reason.ERROR)
    name = "first" if state == "retrying" else "a"
    assert stage.state(name).value == state
    stage.cancel(name)
    assert stage.state(name) is State.CANCELLED
    assert stage.stopped == []
    stage.wait(3600)
    assert stage.state(name) is State.CANCELLED


def test_what_comes_in_with_a_result_has_succeeded_and_starts_nothing():
    stage = Stage(cpus=1)
    known, follows = stage.new("known"), stage.new("follows", after="known")
    known.result_of = "earlier"
    stage.turn(Submitted([known, follows], Group("g", "", "graph", "ann", 2, stage.now)))
    assert stage.states("known follows") == [State.SUCCEEDED, State.RUNNING]
    assert stage.launched == ["follows.1"]


SOURCED = Extras(source="a")


@pytest.mark.parametrize(
    ("reason", "state"), [(None, State.RUNNING), (Reason.ERROR, State.RUNNING), (Reason.CANCELLED, State.SKIPPED)]
)
def test_a_chunk_goes_on_with_what_its_source_has_made_even_if_that_failed(reason, state):
    stage = Stage(cpus=4)
    new = [stage.new("a"), stage.new("b", after="a"), stage.new("plain", after="a")]
    new[1].task.extras = SOURCED
    stage.turn(Submitted(new, Group("g", "", "map", "ann", 3, stage.now)))
    assert stage.state("b") is State.PENDING
    if reason is Reason.CANCELLED:
        stage.cancel("a")
    stage.end("a", reason)
    assert stage.state("b") is state
    assert stage.state("plain") is (State.RUNNING if reason is None else State.SKIPPED)


def test_a_chunk_that_is_run_again_waits_for_its_source_and_not_for_its_success():
    stage = Stage(cpus=4)
    new = [stage.new("a"), stage.new("b", after="a")]
    new[1].task.extras = SOURCED
    stage.turn(Submitted(new, Group("g", "", "map", "ann", 2, stage.now)))
    stage.end("a", Reason.ERROR)
    stage.end("b", Reason.ERROR)
    stage.turn(UpdateAsked(("a", "b"), Action.RETRY))
    assert stage.states("a b") == [State.RUNNING, State.PENDING]
    stage.end("a", Reason.ERROR)
    assert stage.running == ["b"]
    stage.end("b", Reason.ERROR)
    stage.turn(UpdateAsked(("b",), Action.RETRY))
    assert stage.running == ["b"]
