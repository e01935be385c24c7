"""Copies of one task beside each other: one outcome, whoever comes first."""

from dataclasses import replace

import pytest

from mcp_scheduler.core.changes import Settle, Stop
from mcp_scheduler.core.decide import resume
from mcp_scheduler.core.estimates import Expected
from mcp_scheduler.core.events import Began, DevicesSeen, Ended, NodeChanged, Outcome, QueuePaused, Returned, Submitted
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import LOCAL, Node
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.core.task import Extras, Needs
from tests.core.builders import Stage, needs, terms
from tests.core.test_device_rounds import gpu

TWO, THREE, HEDGED = Extras(replicas=2), Extras(replicas=3), Extras(hedge=True)
SAFE = terms("module.safe", idempotent=True)


def copy(number, name="a"):
    return AttemptId(name, number)


def end(stage, number, reason=None, *, name="a", seconds=60.0):
    error = "" if reason is None else f"It ended: {reason}."
    return stage.turn(Ended(copy(number, name), stage.now, Outcome(reason, error, seconds=seconds)))


def alive(stage):
    return sorted(attempt.number for attempt in stage.cluster.attempts)


def stops(stage):
    return [effect.attempt.number for effect in stage.decision.effects if isinstance(effect, Stop)]


def test_replicas_start_at_once_in_slots_of_their_own():
    stage = Stage(cpus=3)
    stage.submit("a", SAFE, extras=THREE)
    assert alive(stage) == [1, 2, 3]
    assert stage.status("a").number == 3
    assert len(stage.cluster.slots) == 3


def test_the_first_success_is_the_tasks_and_the_others_are_stopped():
    stage = Stage(cpus=3)
    stage.submit("a", SAFE, extras=THREE)
    end(stage, 2)
    assert stage.state("a") is State.SUCCEEDED
    assert stops(stage) == [1, 3]
    assert alive(stage) == [1, 3], "they hold what they hold until their processes are gone"
    assert stage.cluster.rooms[LOCAL].free["cpus"] == 1000


@pytest.mark.parametrize("reason", [None, Reason.ERROR, Reason.CANCELLED])
def test_what_one_that_has_lost_reports_changes_nothing(reason):
    stage = Stage(cpus=2)
    stage.submit("a", SAFE, extras=TWO)
    end(stage, 1)
    before = stage.status("a")
    end(stage, 2, reason)
    assert stage.status("a") is before
    [recorded] = stage.decision.changes.ended
    assert (recorded.outcome.reason, recorded.outcome.result) == (Reason.CANCELLED, None)
    assert stage.cluster.rooms[LOCAL].free["cpus"] == 2000
    end(stage, 2, reason)
    assert stage.decision.effects == [Settle((copy(2),))]
    assert not stage.decision.changes


def test_two_successes_in_one_batch_are_one():
    stage = Stage(cpus=2)
    stage.submit("a", SAFE, extras=TWO)
    stage.turn(Ended(copy(2), stage.now, Outcome(result=b"2")), Ended(copy(1), stage.now, Outcome(result=b"1")))
    first, second = stage.decision.changes.ended
    assert (first.outcome.reason, second.outcome.reason) == (None, Reason.CANCELLED)
    assert alive(stage) == []


def test_a_task_has_failed_when_its_last_copy_has_and_that_counts_once():
    stage = Stage(cpus=2)
    stage.submit("a", terms("module.safe", idempotent=True, retry=2), extras=TWO)
    end(stage, 1, Reason.ERROR)
    assert (stage.state("a"), alive(stage)) == (State.RUNNING, [2])
    end(stage, 2, Reason.ERROR)
    assert (stage.state("a"), stage.status("a").failures) == (State.RETRYING, 1)
    stage.wait(20)
    assert alive(stage) == [3, 4]
    end(stage, 4, Reason.ERROR)
    end(stage, 3, Reason.ERROR)
    assert (stage.state("a"), stage.status("a").failures) == (State.FAILED, 2)


def test_what_finds_no_place_at_once_is_placed_when_there_is_one():
    stage = Stage(cpus=2)
    stage.submit("b")
    stage.submit("a", SAFE, extras=TWO)
    assert alive(stage) == [1, 1]
    stage.end("b")
    assert alive(stage) == [1, 2]


def test_a_missing_copy_comes_after_all_who_wait():
    stage = Stage(cpus=2)
    stage.submit("b")
    stage.submit("a", SAFE, extras=TWO)
    stage.submit("c")
    stage.end("b")
    assert stage.states("a c") == [State.RUNNING, State.RUNNING]
    assert sorted(map(str, stage.cluster.attempts)) == ["a.1", "c.1"]


def test_after_a_failure_no_copy_is_added():
    stage = Stage(cpus=2)
    stage.submit("a", SAFE, extras=THREE)
    end(stage, 1, Reason.ERROR)
    assert alive(stage) == [2]
    end(stage, 2, Reason.ERROR)
    assert (stage.state("a"), alive(stage)) == (State.FAILED, [])


def test_one_that_never_began_does_not_undo_the_failure_of_the_other():
    stage = Stage(cpus=2)
    stage.submit("a", SAFE, extras=TWO)
    end(stage, 1, Reason.ERROR)
    stage.turn(Returned(copy(2)))
    assert (stage.state("a"), stage.status("a").reason) == (State.FAILED, Reason.ERROR)


def test_one_that_never_began_is_placed_again_while_the_other_runs():
    stage = Stage(cpus=2)
    stage.submit("a", SAFE, extras=TWO)
    stage.turn(Returned(copy(1)))
    assert (stage.state("a"), alive(stage)) == (State.RUNNING, [2, 3])


def test_a_cancel_stops_all_of_them_and_the_task_ends_with_the_last():
    stage = Stage(cpus=3)
    stage.submit("a", SAFE, extras=TWO)
    stage.cancel("a")
    assert stops(stage) == [1, 2]
    end(stage, 1, Reason.CANCELLED)
    assert (stage.state("a"), alive(stage)) == (State.RUNNING, [2])
    end(stage, 2, Reason.CANCELLED)
    assert stage.state("a") is State.CANCELLED


def test_a_copy_never_stands_in_a_window_behind_its_sibling():
    stage = Stage(cpus=1)
    stage.cluster.estimates.learn("module.safe", 0.001)
    stage.turn(Submitted([stage.new("a", SAFE, extras=THREE), stage.new("b", SAFE)]))
    [slot] = stage.cluster.slots.values()
    assert [str(one) for one in slot.attempts] == ["a.1", "b.1"]


def test_copies_run_on_different_devices_though_one_has_room_for_all():
    stage = Stage(cpus=8)
    stage.turn(DevicesSeen(LOCAL, (gpu(0), gpu(1))))
    shared = replace(SAFE, needs=Needs(gpu_memory=2**30))
    stage.submit("a", shared, extras=THREE)
    assert len({attempt.devices for attempt in stage.cluster.attempts.values()}) == 2
    assert alive(stage) == [1, 2], "there is no third device"


def test_copies_prefer_other_nodes():
    stage = Stage(cpus=4)
    stage.turn(NodeChanged(Node("far", needs(4).amounts)))
    stage.submit("a", SAFE, extras=TWO)
    assert {attempt.node for attempt in stage.cluster.attempts.values()} == {LOCAL, "far"}


def test_a_new_engine_knows_all_copies_and_stops_those_that_have_lost():
    stage = Stage(cpus=4)
    stage.submit("a", SAFE, extras=TWO)
    stage.submit("b", SAFE, extras=TWO)
    end(stage, 1)
    stage.cluster.rebuild()
    assert resume(stage.cluster) == [(copy(2), None)]
    assert stage.cluster.copies.living.keys() == {"a", "b"}
    end(stage, 2)
    end(stage, 2, name="b")
    end(stage, 1, Reason.CANCELLED, name="b")
    assert stage.cluster.rooms[LOCAL].free["cpus"] == 4000


def test_who_waits_for_it_goes_on_with_the_first_success():
    stage = Stage(cpus=4)
    stage.submit("a", SAFE, extras=TWO)
    stage.submit("b", after="a")
    end(stage, 2)
    assert stage.state("b") is State.RUNNING


# --- hedging


class Known:
    """Forecasts: everything takes 10 s, and after 20 s it is late."""

    def expected(self, _task, _device_class=""):
        return Expected(10.0, 15.0, 20.0)

    def learn(self, *_arguments, **_options):
        pass


def hedging(cpus=2, credit=1000.0):
    stage = Stage(cpus=cpus)
    stage.cluster.forecasts = Known()
    stage.cluster.hedging.earn(credit, on_devices=False)
    return stage


def late(stage, name="a"):
    stage.submit(name, SAFE, extras=HEDGED)
    stage.turn(Began(copy(1, name), stage.now))
    stage.wait(stage.cluster.next_due() - stage.now)


def test_a_late_task_gets_one_copy():
    stage = hedging(cpus=4)
    stage.submit("a", SAFE, extras=HEDGED)
    stage.turn(Began(copy(1), stage.now))
    assert stage.cluster.next_due() == stage.now + 20.0
    stage.wait(19.0)
    assert alive(stage) == [1]
    stage.wait(1.0)
    assert alive(stage) == [1, 2]
    stage.wait(100.0)
    assert alive(stage) == [1, 2]


def test_what_has_not_begun_is_not_late():
    stage = hedging()
    stage.submit("a", SAFE, extras=HEDGED)
    stage.wait(1000.0)
    assert alive(stage) == [1]


def test_a_copy_of_a_late_task_waits_until_a_slot_idles():
    stage = hedging(cpus=1)
    late(stage)
    assert alive(stage) == [1]
    stage.resize(2)
    assert alive(stage) == [1, 2]


def test_who_waits_goes_before_the_copy_of_a_late_task():
    stage = hedging(cpus=1)
    late(stage)
    stage.submit("b")
    stage.resize(2)
    assert sorted(map(str, stage.cluster.attempts)) == ["a.1", "b.1"]


def test_a_copy_that_cannot_be_paid_for_waits_until_it_can():
    stage = hedging(credit=0.0)
    late(stage)
    assert alive(stage) == [1]
    for _ in range(4):  # 60 s on half of the cluster earn 1.5 s; the copy is expected to cost 5 s
        stage.submit(f"b{_}")
        stage.end(f"b{_}")
    assert alive(stage) == [1, 2]


def test_the_copy_is_paid_by_what_it_took():
    stage = hedging()
    late(stage)
    assert stage.cluster.hedging.affords(45.0, on_devices=False)
    end(stage, 1)
    end(stage, 2, Reason.CANCELLED, seconds=40.0)
    assert stage.cluster.hedging.affords(50.0 + 1.5 - 20.0, on_devices=False)
    assert not stage.cluster.hedging.affords(50.0 + 1.5 - 19.9, on_devices=False)


def test_hedging_stops_for_a_function_whose_copies_rarely_win_and_is_tried_again_now_and_then():
    stage = hedging(credit=1_000_000.0)
    for number in range(50):
        late(stage, f"a{number}")
        end(stage, 1, name=f"a{number}")
        end(stage, 2, Reason.CANCELLED, name=f"a{number}")
    assert "of its last 50 copies 0 came first" in stage.cluster.hedging.why_off("module.safe")
    tried = 0
    for number in range(40):
        late(stage, f"b{number}")
        tried += len(alive(stage)) > 1
        end(stage, 1, name=f"b{number}")
        if alive(stage):
            end(stage, 2, Reason.CANCELLED, name=f"b{number}")
    assert tried == 4


def test_a_copy_that_wins_counts_as_one_that_wins():
    stage = hedging(credit=1_000_000.0)
    for number in range(50):
        late(stage, f"a{number}")
        end(stage, 2, name=f"a{number}")
        end(stage, 1, Reason.CANCELLED, name=f"a{number}")
    assert stage.cluster.hedging.why_off("module.safe") == ""


def test_a_new_engine_watches_again_and_knows_which_is_the_copy():
    stage = hedging()
    late(stage)
    stage.cluster.rebuild()
    assert stage.cluster.hedging.is_copy(copy(2))
    end(stage, 2)
    end(stage, 1, Reason.CANCELLED)
    assert stage.state("a") is State.SUCCEEDED


def test_while_the_queue_is_paused_nothing_is_copied_and_nobody_wakes_up_for_it():
    stage = hedging()
    stage.submit("a", SAFE, extras=HEDGED)
    stage.turn(Began(copy(1), stage.now), QueuePaused("paused"))
    stage.wait(30.0)
    assert (alive(stage), stage.cluster.next_due()) == ([1], None)
    stage.turn(QueuePaused(""))
    assert alive(stage) == [1, 2]


# --- a copy that makes way for others


def test_a_copy_that_gives_way_has_not_failed_and_comes_back_behind_who_waits():
    stage = Stage(cpus=2)
    stage.submit("a", SAFE, extras=TWO)
    stage.submit("b")
    end(stage, 1, Reason.YIELDED)
    assert stage.state("b") is State.RUNNING
    assert alive(stage) == [1, 2], "the copy that went on, and the one that others made way for"
    assert (stage.state("a"), stage.status("a").reason, stage.status("a").failures) == (State.RUNNING, None, 0)
    stage.end("b")
    assert sorted(attempt.number for attempt in stage.cluster.copies.of("a")) == [2, 3]
    end(stage, 3)
    assert (stage.state("a"), stops(stage)) == (State.SUCCEEDED, [2])


@pytest.fixture
def one_gave_way():
    """Of two copies the first has given way, and the queue is paused: nothing takes its place."""
    stage = Stage(cpus=2)
    stage.submit("a", SAFE, extras=TWO)
    stage.turn(QueuePaused("Somebody looks."))
    end(stage, 1, Reason.YIELDED)
    return stage


def test_when_all_copies_give_way_the_task_is_queued_again_and_all_of_them_come_anew(one_gave_way):
    stage = one_gave_way
    end(stage, 2, Reason.YIELDED)
    assert (stage.state("a"), stage.status("a").failures) == (State.QUEUED, 0)
    stage.turn(QueuePaused(""))
    assert alive(stage) == [3, 4]


def test_after_one_has_given_way_the_failure_of_the_last_is_the_tasks(one_gave_way):
    stage = one_gave_way
    end(stage, 2, Reason.ERROR)
    assert (stage.state("a"), stage.status("a").reason, stage.status("a").failures) == (State.FAILED, Reason.ERROR, 1)


def test_of_a_hedged_pair_the_one_that_gives_way_is_replaced_where_a_place_idles():
    stage = hedging()
    late(stage)
    assert alive(stage) == [1, 2]
    end(stage, 2, Reason.YIELDED)
    assert (stage.state("a"), stage.status("a").reason, alive(stage)) == (State.RUNNING, None, [1, 3])
    end(stage, 1, Reason.YIELDED)
    assert (stage.status("a").reason, alive(stage)) == (None, [3, 4])


def test_the_file_of_a_beaten_copys_result_is_told_to_be_nobodys_and_is_not_recorded():
    stage = Stage(cpus=2)
    stage.submit("a", SAFE, extras=TWO)
    won, lost = Outcome(result_file="a" * 64, result_size=9), Outcome(result_file="b" * 64, result_size=9)
    stage.turn(Ended(copy(1), stage.now, won), Ended(copy(2), stage.now, lost))
    assert stage.decision.changes.leavings == ["b" * 64]
    assert [one.outcome.result_file for one in stage.decision.changes.ended] == ["a" * 64, ""]
    stage.turn(Ended(copy(2), stage.now, lost))
    assert stage.decision.changes.leavings == [], "the same report again: that file may be another's by now"
