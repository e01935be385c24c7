from dataclasses import replace

import pytest

from mcp_scheduler.core import leases
from mcp_scheduler.core.changes import Launch, Stop
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.events import Action, DevicesSeen, Ended, Outcome, QueuePaused, Submitted
from mcp_scheduler.core.node import LOCAL
from mcp_scheduler.core.seen import GpuProcess, GpuSeen
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.core.task import Kind, Needs
from mcp_scheduler.policies.order import PRIORITY
from tests.core.builders import Stage, needs, terms

GIB = 2**30


def lease(asked=needs(0, license=1), ttl=60.0):  # noqa: B008 - it is frozen
    return replace(terms("lease", needs=asked, timeout=ttl), kind=Kind.LEASE)


def fence(stage, name):
    return leases.fence(stage.cluster.attempts[stage.attempt(name)])


def gpu(*processes):
    used = sum(process.memory for process in processes)
    return GpuSeen("GPU-a", 0, "Test", "test", 24 * GIB, used, 24 * GIB - used, processes=processes)


def test_a_lease_holds_what_it_needs_and_starts_nothing():
    stage = Stage(license=1)
    stage.submit("lease", lease())
    stage.submit("work", terms(needs=needs(1, license=1)))
    assert stage.states("lease work") == [State.RUNNING, State.QUEUED]
    assert stage.effects(Launch) == []


def test_released_it_has_succeeded_and_the_next_one_goes_on():
    stage = Stage(license=1)
    stage.submit("lease", lease())
    stage.submit("work", terms(needs=needs(1, license=1)), after="lease")
    stage.wait(5)
    stage.update(Action.RELEASE, "lease")
    assert stage.states("lease work") == [State.SUCCEEDED, State.RUNNING]
    assert stage.effects(Stop) == []


def test_what_nobody_renews_lapses_and_has_failed():
    stage = Stage(license=1)
    stage.submit("lease", lease(ttl=60.0))
    stage.wait(59)
    assert stage.state("lease") is State.RUNNING
    stage.wait(1)
    assert (stage.state("lease"), stage.status("lease").reason) == (State.FAILED, Reason.TIMEOUT)
    stage.submit("next", lease())
    assert stage.state("next") is State.RUNNING


def test_a_renewal_counts_from_now_by_its_own_time_or_by_the_first_one():
    stage = Stage(license=1)
    stage.submit("lease", lease(ttl=60.0))
    stage.wait(50)
    stage.update(Action.RENEW, "lease")
    assert stage.status("lease").due == stage.now + 60
    stage.update(Action.RENEW, "lease", value=5.0)
    stage.wait(5)
    assert stage.state("lease") is State.FAILED


def test_a_lease_that_waits_does_not_lapse():
    stage = Stage(license=1)
    stage.submit("first", lease(ttl=1000.0))
    stage.submit("second", lease(ttl=60.0))
    stage.wait(500)
    stage.update(Action.RELEASE, "first")
    assert stage.state("second") is State.RUNNING
    assert stage.status("second").due == stage.now + 60


def test_a_cancelled_lease_ends_at_once_for_nothing_has_to_be_stopped():
    stage = Stage(license=1)
    stage.submit("lease", lease())
    stage.cancel("lease")
    assert (stage.state("lease"), stage.effects(Stop)) == (State.CANCELLED, [])


@pytest.mark.parametrize("action", [Action.RELEASE, Action.RENEW])
def test_only_a_lease_that_is_held_can_be_released_or_renewed(action):
    stage = Stage(license=1)
    stage.submit("work", terms(needs=needs(1, license=1)))
    stage.submit("waiting", lease())
    assert not stage.update(action, "work", "waiting").changes
    stage.end("work")
    stage.update(Action.RELEASE, "waiting")
    assert not stage.update(action, "waiting").changes


def test_the_fence_grows_with_every_grant_whatever_the_order_of_arrival():
    stage = Stage(license=1)
    stage.submit("work", terms(needs=needs(1, license=1)))
    stage.submit("early", lease())
    stage.submit("late", lease(), priority=100)
    stage.end("work")
    first = fence(stage, "late")
    stage.update(Action.RELEASE, "late")
    second = fence(stage, "early")
    stage.update(Action.RELEASE, "early")
    stage.submit("again", lease())
    assert first < second < fence(stage, "again")  # all at one moment


def test_the_fence_grows_though_the_clock_was_set_back_between_two_engines():
    stage = Stage(license=1)
    stage.submit("old", lease())
    before = fence(stage, "old")
    newest = stage.now
    attempts = list(stage.cluster.attempts.values())
    for told in (attempts, []):  # held still, and ended long ago
        stage.cluster = Cluster(PRIORITY)
        stage.cluster.load([], told, latest=newest)
        stage.cluster.attempts.clear()
        stage.now = newest - 500
        stage.resize(2, license=1)
        stage.submit("new", lease())
        assert fence(stage, "new") > before


def test_a_lease_outlives_the_engine_and_lapses_when_it_would_have():
    stage = Stage(license=1)
    stage.submit("lease", lease(ttl=60.0))
    stage.wait(10)
    stage.update(Action.RENEW, "lease")
    old = stage.cluster
    stage.cluster = Cluster(PRIORITY)
    stage.cluster.load(list(old.tasks.values()), list(old.attempts.values()))
    stage.cluster.set_node(old.rooms[LOCAL].node)
    stage.cluster.rebuild()
    stage.submit("next", lease())
    stage.wait(59)
    assert stage.states("lease next") == [State.RUNNING, State.QUEUED]
    stage.wait(1)
    assert stage.states("lease next") == [State.FAILED, State.RUNNING]


def test_a_lease_outlives_a_commit_that_failed():
    stage = Stage(license=1)
    stage.submit("lease", lease(ttl=60.0))
    stage.now += 60
    stage.fail_commit()  # it had lapsed
    assert stage.state("lease") is State.RUNNING
    stage.wait(0)
    assert stage.state("lease") is State.FAILED


def test_a_report_about_a_lease_that_has_ended_changes_nothing():
    stage = Stage(license=1)
    stage.submit("lease", lease())
    attempt = stage.attempt("lease")
    stage.update(Action.RELEASE, "lease")
    assert not stage.turn(Ended(attempt, stage.now, Outcome())).changes


def test_renewals_leave_no_timers_behind(monkeypatch):
    monkeypatch.setattr("mcp_scheduler.core.timers.SWEEP", 10)
    stage = Stage(license=1)
    stage.submit("lease", lease(ttl=3600.0))
    for _ in range(200):
        stage.now += 1
        stage.update(Action.RENEW, "lease")
    assert len(stage.cluster.timers) < 50


def test_a_gpu_is_leased_as_a_task_gets_it_and_is_not_offered_while_its_holder_still_computes_there():
    stage = Stage(cpus=4)
    stage.turn(DevicesSeen(LOCAL, (gpu(),)))
    stage.submit("lease", lease(Needs((), gpus=1)))
    attempt = stage.cluster.attempts[stage.attempt("lease")]
    assert attempt.devices == ("GPU-a",)
    stage.submit("train", terms(needs=Needs(gpus=1)))
    assert stage.state("train") is State.QUEUED
    of_the_holder = GpuProcess(7, 4 * GIB, owner=str(attempt.id))
    stage.turn(DevicesSeen(LOCAL, (gpu(of_the_holder),)))
    assert stage.cluster.rooms[LOCAL].devices.states["GPU-a"].account.foreign == 0
    stage.update(Action.RELEASE, "lease")
    assert stage.state("train") is State.QUEUED
    stage.turn(DevicesSeen(LOCAL, (gpu(),)))
    assert stage.state("train") is State.RUNNING


def test_a_paused_queue_starts_nothing_and_goes_on_where_it_stopped():
    stage = Stage(cpus=1)
    stage.submit("running")
    stage.turn(QueuePaused("the queue is paused"))
    stage.submit("waiting")
    stage.end("running")
    stage.submit("lease", lease(needs(0)))
    stage.wait(3600)
    assert stage.states("running waiting lease") == [State.SUCCEEDED, State.QUEUED, State.QUEUED]
    stage.turn(QueuePaused(""))
    assert stage.states("waiting lease") == [State.RUNNING, State.RUNNING]


def test_a_pause_comes_before_what_is_submitted_with_it():
    stage = Stage()
    stage.turn(Submitted([stage.new("a")]), QueuePaused("paused"))
    assert stage.state("a") is State.QUEUED
