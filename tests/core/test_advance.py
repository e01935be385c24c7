"""A heavy task whose dependencies are about to end has its place kept."""

from mcp_scheduler.core.events import Action, Group, Submitted, UpdateAsked
from mcp_scheduler.core.explain import explain
from mcp_scheduler.core.node import LOCAL
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.policies.weighing import BALANCED
from tests.core.builders import Stage, needs, terms

SHORT, HEAVY, LONG = terms("m.short"), terms("m.heavy", needs=needs(4)), terms("m.long", needs=needs(2))


class Coming(Stage):
    """Four CPUs, and a graph of one short task and a heavy one behind it; run times are known."""

    def __init__(self):
        super().__init__(4, policy=BALANCED)
        for target, seconds in (("m.short", 20), ("m.heavy", 60), ("m.long", 500), ("m.brief", 5)):
            self.cluster.estimates.learn(target, seconds)
        members = [self.new("a", SHORT, group="g"), self.new("big", HEAVY, after="a", group="g")]
        self.turn(Submitted(members, Group("g", "", "graph", "ann", 2, self.now)))

    def kept(self, name="big"):
        return explain(self.cluster, self.task(name), self.now).advance


def test_what_goes_after_it_and_is_longer_does_not_take_its_place():
    stage = Coming()
    stage.submit("long", LONG)
    assert stage.state("long") is State.QUEUED
    assert stage.kept() == (LOCAL, 1020.0, 1040.0)
    stage.now += 20
    stage.end("a", seconds=20)
    assert stage.state("big") is State.RUNNING
    assert stage.state("long") is State.QUEUED


def test_what_ends_in_time_goes_first():
    stage = Coming()
    stage.submit("brief", terms("m.brief", needs=needs(3)))
    assert stage.state("brief") is State.RUNNING


def test_nothing_is_kept_for_longer_than_twice_the_promise():
    stage = Coming()
    stage.submit("long", LONG)
    stage.wait(39)
    assert stage.state("long") is State.QUEUED
    due = stage.cluster.next_due()
    assert due is not None
    assert due <= 1040
    stage.wait(1.5)
    assert stage.state("long") is State.RUNNING
    assert stage.kept() is None


def test_nothing_is_kept_while_its_dependencies_end_later_than_it_takes_itself():
    stage = Stage(4, policy=BALANCED)
    for target, seconds in (("m.short", 200), ("m.heavy", 60), ("m.long", 500)):
        stage.cluster.estimates.learn(target, seconds)
    members = [stage.new("a", SHORT, group="g"), stage.new("big", HEAVY, after="a", group="g")]
    stage.turn(Submitted(members, Group("g", "", "graph", "ann", 2, stage.now)))
    stage.submit("long", LONG)
    assert stage.state("long") is State.RUNNING


def test_nothing_is_kept_for_what_nobody_knows():
    stage = Stage(4, policy=BALANCED)
    stage.submit("a", SHORT)
    stage.submit("big", HEAVY, after="a")
    stage.submit("long", LONG)
    assert stage.state("long") is State.RUNNING


def test_nothing_is_kept_from_those_that_go_before_it():
    stage = Coming()
    stage.submit("urgent", LONG, priority=100)
    assert stage.state("urgent") is State.RUNNING


def test_the_place_is_kept_after_everything_derived_was_built_anew():
    stage = Coming()
    stage.fail_commit()
    stage.submit("long", LONG)
    assert stage.state("long") is State.QUEUED


def test_with_two_dependencies_the_later_one_counts():
    stage = Coming()
    stage.cancel("a", "big")
    stage.end("a", Reason.CANCELLED, seconds=1)
    stage.cluster.estimates.learn("m.half", 40)
    members = [
        stage.new("b", SHORT, group="h"), stage.new("c", terms("m.half"), group="h"),
        stage.new("both", HEAVY, after="b c", group="h"),
    ]  # fmt: skip
    stage.turn(Submitted(members, Group("h", "", "graph", "ann", 3, stage.now)))
    stage.submit("long", LONG)
    assert stage.kept("both") == (LOCAL, 1040.0, 1080.0)
    assert stage.state("long") is State.QUEUED


def test_one_that_will_not_come_keeps_nothing():
    stage = Coming()
    stage.submit("long", LONG)
    stage.cancel("big")
    assert stage.state("long") is State.RUNNING


def test_nothing_is_kept_for_one_that_a_person_holds():
    stage = Coming()
    stage.update(Action.HOLD, "big")
    stage.submit("long", LONG)
    assert stage.state("long") is State.RUNNING


def test_who_is_held_in_the_turn_that_starts_what_it_waits_for_does_not_come():
    stage = Stage(4, policy=BALANCED)
    stage.submit("runs", HEAVY)
    members = [stage.new("a", SHORT, group="g"), stage.new("big", HEAVY, after="a", group="g")]
    stage.turn(Submitted(members, Group("g", "", "graph", "ann", 2, stage.now)))
    stage.turn(stage.ended("runs"), UpdateAsked(("big",), Action.HOLD))
    assert stage.states("a big") == [State.RUNNING, State.HELD]
    assert not stage.cluster.coming.tasks
