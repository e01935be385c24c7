from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_scheduler.core.changes import Launch
from mcp_scheduler.core.estimates import Estimates
from mcp_scheduler.core.events import Submitted
from mcp_scheduler.core.policy import Sharing
from mcp_scheduler.core.slots import WINDOW_CALLS, WINDOW_SECONDS, Room, Slot
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Kind
from mcp_scheduler.errors import InvariantBroken
from tests.core.builders import Stage, needs, terms

SHORT = terms("module.short")
QUICK = 0.0001


def submit_many(stage, count, asked=SHORT, prefix="s", **options):
    stage.turn(Submitted([stage.new(f"{prefix}{number}", asked, **options) for number in range(count)]))


def taught(stage, seconds=QUICK, asked=SHORT):
    """The stage, once it has seen that calls of these terms take so long."""
    stage.submit("teacher", asked)
    stage.end("teacher", seconds=seconds)
    return stage


def test_as_many_start_as_there_is_room_for():
    stage = Stage(cpus=2)
    submit_many(stage, 5)
    assert stage.running == ["s0", "s1"]


def test_an_end_makes_room_for_the_next():
    stage = Stage(cpus=1)
    submit_many(stage, 2)
    stage.end("s0")
    assert stage.launched == ["s1.1"]


def test_named_resources_and_memory_count_too():
    stage = Stage(cpus=8, license=1, memory=100)
    licensed = terms(needs=needs(1, license=1))
    for name, asked in (("a", licensed), ("b", licensed), ("c", terms(needs=needs(1, memory=60))), ("d", terms())):
        stage.submit(name, asked)
    stage.submit("e", terms("module.e", needs=needs(1, memory=60)))
    assert stage.running == ["a", "c", "d"]


def test_unknown_calls_never_wait_behind_each_other():
    stage = Stage(cpus=1)
    submit_many(stage, 3)
    assert stage.running == ["s0"]


def test_short_calls_follow_each_other_in_one_slot():
    stage = taught(Stage(cpus=1))
    submit_many(stage, 50)
    assert len(stage.running) == 50
    assert len(stage.cluster.slots) == 1


def test_short_commands_wait_behind_each_other_unless_they_need_devices():
    stage = Stage(cpus=1)
    stage.cluster.estimates.learn("true", 0.0001)
    asked = replace(terms("true"), kind=Kind.COMMAND)
    submit_many(stage, 3, asked)
    assert stage.running == ["s0", "s1", "s2"]
    assert len(stage.cluster.slots) == 1
    on_gpu = replace(asked, needs=replace(asked.needs, gpus=1))
    assert Slot("s", "local", asked).takes(asked, 0.0001, 0.0)
    assert not Slot("s", "local", on_gpu).takes(on_gpu, 0.0001, 0.0)


def test_a_window_is_bounded_by_calls():
    stage = taught(Stage(cpus=1), seconds=WINDOW_SECONDS / WINDOW_CALLS / 2)
    submit_many(stage, WINDOW_CALLS + 100)
    assert len(stage.running) == WINDOW_CALLS


def test_a_window_is_bounded_by_the_time_expected_of_it():
    stage = taught(Stage(cpus=1), seconds=WINDOW_SECONDS / 4)
    submit_many(stage, 50)
    assert len(stage.running) == 4


def test_one_slow_call_of_a_busy_machine_leaves_the_windows_long():
    quick = WINDOW_SECONDS / WINDOW_CALLS / 2
    stage = taught(Stage(cpus=1), seconds=quick)
    submit_many(stage, 200)
    stage.turn(stage.ended("s0", seconds=2 * WINDOW_SECONDS))
    submit_many(stage, 3, prefix="later")
    for number in range(1, 10):
        stage.turn(stage.ended(f"s{number}", seconds=quick))
    assert "later2" in stage.running


def test_slow_calls_in_a_row_end_the_filling_of_windows():
    estimates = Estimates()
    estimates.learn("call", WINDOW_SECONDS / WINDOW_CALLS)
    for _ in range(4):
        estimates.learn("call", 10.0)
    assert (estimates.seconds("call") or 0.0) > WINDOW_SECONDS


def test_a_free_place_is_better_than_a_short_line():
    stage = taught(Stage(cpus=2))
    submit_many(stage, 2)
    assert len(stage.cluster.slots) == 2


def test_a_window_is_filled_up_again_as_its_calls_end():
    quick = WINDOW_SECONDS / WINDOW_CALLS / 2
    stage = taught(Stage(cpus=1), seconds=quick)
    submit_many(stage, WINDOW_CALLS + 100)
    stage.turn(*(stage.ended(f"s{number}", seconds=quick) for number in range(10)))
    assert len(stage.running) == WINDOW_CALLS
    assert len(stage.launched) == 10


def test_calls_of_other_needs_or_environments_do_not_share_a_slot():
    other = terms("module.short", needs=needs(1, memory=1))
    stage = taught(Stage(cpus=1, memory=10))
    submit_many(stage, 3)
    submit_many(stage, 3, other, prefix="o")
    assert len(stage.running) == 3


def test_the_shortest_line_is_joined():
    stage = taught(Stage(cpus=2))
    submit_many(stage, 20)
    lengths = [len(slot.attempts) for slot in stage.cluster.slots.values()]
    assert max(lengths) - min(lengths) <= 1


def test_what_a_blocked_head_lacks_is_kept_for_it():
    """A stream of small tasks must not starve a wide one."""
    stage = Stage(cpus=4)
    submit_many(stage, 3)
    stage.submit("wide", terms("module.wide", needs=needs(4)))
    submit_many(stage, 5, prefix="later")
    assert stage.running == ["s0", "s1", "s2"]  # one cpu idles: it is the wide one's
    for name in ("s0", "s1", "s2"):
        stage.end(name)
    assert stage.running == ["wide"]


def test_what_a_blocked_head_does_not_lack_is_free_for_others():
    stage = Stage(cpus=4, license=1)
    stage.submit("holder", terms(needs=needs(1, license=1)))
    stage.submit("blocked", terms("module.b", needs=needs(1, license=1)))
    submit_many(stage, 5)
    assert stage.running == ["holder", "s0", "s1", "s2"]


def test_a_window_is_not_filled_up_with_what_a_better_ranked_task_waits_for():
    """Otherwise a stream of short calls keeps the licence for ever."""
    licensed = terms("module.short", needs=needs(0, license=1))
    stage = taught(Stage(cpus=4, license=1), asked=licensed)
    submit_many(stage, 5, licensed)
    stage.submit("blocked", terms("module.b", needs=needs(1, license=1)), priority=100)
    submit_many(stage, 5, licensed, prefix="later")
    for number in range(5):
        assert "blocked" not in stage.running
        stage.end(f"s{number}", seconds=QUICK)
    assert stage.running[0] == "blocked"


def test_a_task_of_two_scarce_resources_gets_both_though_they_become_free_in_turn():
    """Two streams take what the other leaves: what was short once stays kept."""
    x, y = terms("module.x", needs=needs(0, license=1)), terms("module.y", needs=needs(1))
    stage = Stage(cpus=1, license=1)
    stage.submit("x0", x)
    stage.submit("y0", y)
    stage.submit("both", terms("module.both", needs=needs(1, license=1)))
    for number in range(1, 4):
        stage.submit(f"x{number}", x)
        stage.submit(f"y{number}", y)
    stage.end("x0")  # the licence is free, the cpu is not
    assert stage.running == ["y0"]
    stage.end("y0")
    assert stage.running == ["both"]


def test_a_head_that_no_node_could_ever_run_holds_nothing_back():
    stage = Stage(cpus=2)
    stage.submit("big", terms(needs=needs(16)))
    stage.submit("small", terms("module.small"))
    assert stage.running == ["small"]


def test_a_node_that_grows_starts_more_and_one_that_shrinks_stops_nothing():
    stage = Stage(cpus=1)
    submit_many(stage, 4)
    stage.resize(3)
    assert len(stage.running) == 3
    stage.resize(1)
    assert len(stage.running) == 3
    stage.end("s0")
    stage.end("s1")
    assert stage.running == ["s2"]
    stage.end("s2")
    assert stage.running == ["s3"]


def test_higher_priority_goes_first():
    stage = Stage(cpus=1)
    submit_many(stage, 2)
    stage.submit("urgent", terms("module.u"), priority=10)
    stage.end("s0")
    assert stage.running == ["urgent"]


def test_one_round_looks_at_many_shapes_and_starts_what_fits():
    stage = Stage(cpus=2, memory=10)
    for number in range(50):
        stage.submit(f"m{number}", terms(f"module.m{number}", needs=needs(0, memory=11 + number)))
    stage.submit("small", terms("module.small"))
    assert stage.running == ["small"]


def test_the_room_refuses_to_be_overbooked():
    room = Room(Stage(cpus=1).cluster.rooms["local"].node)
    room.take("a.1", needs(1))
    with pytest.raises(InvariantBroken, match="was placed on local, where only"):
        room.take("a.1", needs(1))


@dataclass(frozen=True)
class Hostile:
    """A policy that ranks as it pleases."""

    ranks: tuple[float, ...]
    name: str = "hostile"
    ages: bool = True
    by_graph: bool = True
    by_deadline: bool = True
    sharing: Sharing = Sharing.NONE

    def rank(self, kind, since, deadline, scene):
        return self.ranks[hash((kind.terms.target, kind.priority, since, scene.now)) % len(self.ranks)]


@settings(deadline=None)
@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=8),
    st.sampled_from(Sharing),
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.booleans()), max_size=40),
)
def test_a_hostile_policy_overbooks_nothing_and_loses_nothing(ranks, sharing, steps):
    stage = Stage(cpus=3, license=2, policy=Hostile(tuple(ranks), sharing=sharing))
    for number, (cpus, licenses, end) in enumerate(steps):
        stage.now += 1
        stage.submit(f"t{number}", terms(f"module.f{number % 5}", needs=needs(min(cpus, 3), license=min(licenses, 2))))
        assert all(free >= 0 for free in stage.cluster.rooms["local"].free.values())
        if end and stage.running:
            stage.end(stage.running[0])
    for _ in range(len(steps) + 1):
        for name in stage.running:
            stage.end(name)
    assert {task.status.state for task in stage.cluster.tasks.values()} <= {State.SUCCEEDED}


def test_a_launch_names_the_slot_its_node_and_its_terms():
    stage = Stage()
    stage.submit("a", SHORT)
    (launch,) = stage.effects(Launch)
    assert (launch.slot, launch.node, launch.terms) == ("a.1", "local", SHORT)


# --- the head of a window hangs


def behind_a_slow_head():
    stage = taught(Stage(cpus=2))
    stage.submit("other", terms("module.other", needs=needs(1, memory=0)))
    submit_many(stage, 10)
    return stage


def test_calls_behind_a_head_that_takes_too_long_are_taken_back_and_placed_elsewhere():
    stage = behind_a_slow_head()
    stage.wait(0.1)
    assert stage.recalled == ["s0.1"]
    stage.give_back(*(f"s{number}" for number in range(1, 10)))
    assert stage.running == ["other", "s0"]  # nothing queues behind the slow one again
    stage.end("other")
    assert stage.running == ["s0", "s1"]


def test_a_worker_that_does_not_answer_is_asked_again():
    stage = behind_a_slow_head()
    stage.wait(0.1)
    stage.wait(0.5)
    assert stage.recalled == []
    stage.wait(0.6)
    assert stage.recalled == ["s0.1"]


def test_a_window_that_moves_is_left_alone():
    stage = behind_a_slow_head()
    for number in range(5):
        stage.now += 0.04
        stage.end(f"s{number}", seconds=QUICK)
        assert stage.recalled == []


def test_other_calls_of_the_lane_do_not_queue_behind_a_head_that_was_too_slow():
    """They are short themselves; what they would wait for is not."""
    other = terms("module.other_short")
    stage = taught(Stage(cpus=1))
    stage.submit("teacher2", other)
    stage.end("teacher2", seconds=QUICK)
    stage.turn(Submitted([stage.new("slow", SHORT), *(stage.new(f"o{number}", other) for number in range(3))]))
    assert stage.running == ["slow", "o0", "o1", "o2"]
    stage.wait(0.1)
    assert stage.recalled == ["slow.1"]
    stage.give_back("o0", "o1", "o2")
    assert stage.running == ["slow"]


def test_a_window_is_watched_again_after_a_commit_that_failed():
    stage = behind_a_slow_head()
    stage.fail_commit()
    stage.wait(0.1)
    assert stage.recalled == ["s0.1"]
