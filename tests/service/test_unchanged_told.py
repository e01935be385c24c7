"""What does not change is told shortly: a task that was named by itself, a group by the numbers of its tasks."""

from dataclasses import replace

from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Extras, Status
from mcp_scheduler.service.changing import told
from tests.core.builders import Stage

ENDED = "has already ended: succeeded"


def task(name, group="", occurrence=0):
    made = Stage().new(name, group=group).task
    return replace(made, status=Status(State.SUCCEEDED, 0.0), extras=Extras(occurrence=occurrence))


def test_a_group_of_thousands_has_one_sentence():
    members = [task(f"g-{number}", "g") for number in range(3000)]
    why = {one.id: ENDED for one in members} | {"g-7": "is running; cancel it instead"}
    assert told(["g"], members, why) == {
        "g": f"2999 of its tasks: each {ENDED}; 1 of its tasks: it is running; cancel it instead"
    }


def test_whoever_is_named_is_told_by_itself_and_of_its_series():
    one, other = task("s-1", "s", occurrence=1), task("s-2", "s", occurrence=2)
    assert told(["s-1", "s"], [one, other], {"s-1": ENDED, "s-2": ENDED}) == {
        "s-1": f"{ENDED}; its series goes by s",
        "s": f"1 of its tasks: it {ENDED}",
    }


def test_who_is_meant_by_a_tag_and_is_in_no_group_is_told_by_itself():
    assert told([], [task("a"), task("g-1", "g")], {"a": ENDED, "g-1": ENDED}) == {
        "a": ENDED,
        "g": f"1 of its tasks: it {ENDED}",
    }


def test_what_changes_is_not_told():
    assert told(["a", "b"], [task("a"), task("b")], {"b": ENDED}) == {"b": ENDED}
