"""What stood still when an engine died runs; the next engine begins with that."""

import pytest

from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.events import PolicyChosen
from mcp_scheduler.core.node import LOCAL
from mcp_scheduler.policies.order import PRIORITY, TIME_SLICE
from tests.core.slicing_stage import Slicing, command, sharing


def next_engine(stage, policy=TIME_SLICE, events=()):
    """It finds what is stored; the shims have let everything go on that stood still."""
    old, heir = stage.cluster, Slicing.__new__(Slicing)
    heir.cluster, heir.now = Cluster(policy), stage.now
    heir.cluster.load(old.tasks.values(), old.attempts.values(), old.next_seq)
    heir.cluster.set_node(old.rooms[LOCAL].node)
    heir.cluster.rebuild()
    heir.turn(*events)
    return heir


def test_the_next_engine_lets_as_many_stand_still_again_as_are_too_many():
    stage = sharing(2, "abcd")
    heir = next_engine(stage)
    assert (len(heir.paused), heir.still, heir.free["cpus"]) == (2, sorted(heir.paused), 0)
    seen = set(heir.paused)
    while len(seen) < 4:
        heir.next_turn()
        assert heir.free["cpus"] == 0
        seen |= set(heir.paused)


def test_the_last_in_rank_stand_still():
    stage = Slicing(1)
    stage.submit("low", command())
    stage.wait(10)
    stage.submit("high", command(), priority=5)
    assert next_engine(stage).still == stage.still == ["low"]


def test_what_has_ended_meanwhile_needs_nobody_to_stand_still():
    stage = sharing(1, "ab")
    heir = next_engine(stage, events=[stage.ended("a")])
    assert heir.still == []
    assert heir.running == ["b"]


@pytest.mark.parametrize(("events", "still"), [([PolicyChosen(TIME_SLICE)], 1), ([], 0)])
def test_it_goes_by_the_policy_that_was_chosen_and_without_turns_all_run_on(events, still):
    heir = next_engine(sharing(1, "ab"), PRIORITY, events)
    assert len(heir.still) == still
    assert heir.free["cpus"] == (0 if still else -1000)


def test_a_commit_that_fails_then_tells_it_again():
    stage = sharing(1, "ab")
    heir = next_engine(stage)
    assert len(heir.still) == 1
    again = next_engine(heir)
    again.cluster.slices.told.clear()
    again.fail_commit()
    again.turn()
    assert (len(again.still), again.free["cpus"]) == (1, 0)
