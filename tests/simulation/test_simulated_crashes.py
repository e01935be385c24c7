import pytest
from hypothesis.stateful import run_state_machine_as_test

from mcp_scheduler.core.events import Action
from mcp_scheduler.core.states import Reason
from mcp_scheduler.errors import InvariantBroken
from mcp_scheduler.policies.catalogue import BUILT_IN
from tests.simulation.campaign import walk
from tests.simulation.faults import FAULTS, ignored_backoff, no_capacity_check, no_fencing
from tests.simulation.machine import Machine, Plain
from tests.simulation.sim import Sim
from tests.simulation.walks import gate, hunt
from tests.simulation.wanted import FIRST_COMMAND, Fate, Wanted

GATE = gate(150, 40)
HUNT = hunt(GATE, 1000)


def test_no_story_of_crashes_reports_and_wishes_breaks_a_promise():
    run_state_machine_as_test(Machine, settings=GATE)


@pytest.mark.parametrize("episode", range(100))
def test_a_random_walk_breaks_no_promise(episode):
    walk(f"gate/{episode}")


def a_timed_call_hangs_and_the_disk_is_full():
    """Steps that chance alone puts in this order once in a thousand walks."""
    sim = Sim()
    sim.submit([Wanted(shape=4)])
    sim.begin([0])
    sim.deliver(10)
    sim.hang(0)
    sim.submit([Wanted()], Fate("disk"))
    sim.drain()


def test_a_timed_call_that_hangs_is_stopped_though_a_commit_failed_meanwhile():
    a_timed_call_hangs_and_the_disk_is_full()


def a_copy_wins_and_the_engine_dies():
    """Before it could stop the other one."""
    sim = Sim()
    sim.submit([Wanted(copies=2)])
    sim.begin([0, 1])
    sim.end(1, None)
    sim.deliver(10, Fate("after"))
    sim.drain()


def test_a_copy_that_has_lost_is_stopped_by_the_next_engine():
    a_copy_wins_and_the_engine_dies()


def a_copy_fails_while_the_other_one_runs():
    """Nothing is started in its place."""
    sim = Sim()
    sim.submit([Wanted(copies=2)])
    sim.begin([0, 1])
    sim.end(1, Reason.ERROR)
    sim.deliver(10)
    sim.submit([Wanted(shape=1)])
    sim.drain()


def test_no_copy_follows_one_that_failed():
    a_copy_fails_while_the_other_one_runs()


def a_call_is_cancelled_and_the_engine_dies():
    """The wish is durable, and nobody was told to stop."""
    sim = Sim()
    sim.submit([Wanted()])
    sim.begin([0])
    sim.deliver(10)
    sim.cancel([0], Fate("after"))
    sim.drain()


def test_a_wish_that_is_durable_is_carried_out_by_the_next_engine():
    a_call_is_cancelled_and_the_engine_dies()


def a_timed_command_stands_still_when_its_time_would_be_up():
    """And its begin may be reported after it has stood still."""
    for is_told_late in (False, True):
        sim = Sim()
        sim.resize(2)
        sim.choose(list(BUILT_IN).index("time_slice"))
        sim.submit([Wanted(shape=12)])
        sim.begin([0])
        sim.hang(0)
        began = sim.now
        if not is_told_late:
            sim.deliver(10)
        sim.submit([Wanted(shape=FIRST_COMMAND), Wanted(shape=FIRST_COMMAND)])
        for _ in range(5):
            sim.wait(10.0)
            sim.begin([0, 1])
            if sim.now > began + 15.0:
                sim.deliver(10)
        sim.drain()


def test_the_time_of_a_command_that_stands_still_is_not_up():
    a_timed_command_stands_still_when_its_time_would_be_up()


def test_who_gives_way_spends_nothing_of_the_retry_budget():
    sim = Sim()
    sim.choose(list(BUILT_IN).index("time_slice"))
    sim.submit([Wanted(shape=5), Wanted(shape=5), Wanted(), Wanted()])
    sim.begin([0, 1, 2])
    sim.deliver(10)
    sim.wait(10.0)
    sim.end(3, Reason.ERROR)  # the first one was asked to give way, and does
    sim.end(0, Reason.ERROR)
    sim.deliver(10)
    assert [sim.store_tasks()[name].status.failures for name in ("t1-1", "t2-1")] == [0, 1]
    sim.drain()


def test_a_compensation_that_was_skipped_before_it_was_cancelled_runs_for_the_next_run_of_its_task():
    sim = Sim()
    sim.submit([Wanted(undo=True)])
    sim.cancel([0])
    sim.deliver(10)
    sim.cancel([1])
    sim.update(Action.RETRY, [0])
    sim.begin([0])
    sim.end(0, Reason.ERROR)
    sim.deliver(10)
    assert sim.figures["attempts"] == 3
    sim.drain()


STORIES = (
    a_timed_command_stands_still_when_its_time_would_be_up,
    a_timed_call_hangs_and_the_disk_is_full,
    a_copy_wins_and_the_engine_dies,
    a_copy_fails_while_the_other_one_runs,
    a_call_is_cancelled_and_the_engine_dies,
)


def walk_many(episodes):
    for story in STORIES:
        story()
    for episode in range(episodes):
        walk(f"x/{episode}", 60, are_many=False)


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_caught(plant, monkeypatch):
    plant(monkeypatch)
    with pytest.raises((AssertionError, InvariantBroken, KeyError)):
        walk_many(300)


@pytest.mark.parametrize("plant", [no_fencing, no_capacity_check, ignored_backoff], ids=lambda plant: plant.__name__)
def test_the_state_machine_finds_the_three_classic_faults_too(plant, monkeypatch):
    plant(monkeypatch)
    with pytest.raises((AssertionError, InvariantBroken, KeyError)):
        run_state_machine_as_test(Plain, settings=HUNT)


def test_the_same_seed_walks_the_same_way():
    assert walk("same", 80) == walk("same", 80)
