"""Places that fail again and again are withheld for a while, then tried with one task."""

from dataclasses import replace

import pytest
from test_device_rounds import ONE, gpu, on_gpus, share

from mcp_scheduler.core.breakers import Breakers, Trust
from mcp_scheduler.core.changes import Launch
from mcp_scheduler.core.events import DevicesSeen, NodeChanged, QuarantineLifted, SlotGone, Submitted
from mcp_scheduler.core.node import LOCAL, Node
from mcp_scheduler.core.seen import Health
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.core.task import Retry
from mcp_scheduler.service.alerts import alerts_of, distrust
from tests.core.builders import Stage, needs, terms

AGAIN = Retry(5, 0.1, jitter=0.0)


def stage(*nodes, after=3, gpus=()):
    made = Stage(4)
    made.cluster.breakers = Breakers(after, first=30.0, longest=100.0)
    for name in nodes:
        made.turn(NodeChanged(Node(name, needs(4).amounts)))
    if gpus:
        made.turn(DevicesSeen(LOCAL, gpus))
    return made


def node_of(made, name):
    return made.cluster.attempts[made.attempt(name)].node


def run(made, reason, target, *, node="far", asked=None, principal="ann"):
    """A task that begins on this node, and ends so. Others fill the rest meanwhile, so that it is the only place."""
    name = f"t{made.cluster.next_seq}"
    made.submit(name, asked or terms(target, principal=principal, needs=needs(3)))
    others = []
    while made.state(name) is State.RUNNING and node_of(made, name) != node:
        others.append(name)
        name = f"t{made.cluster.next_seq}"
        made.submit(name, asked or terms(target, principal=principal, needs=needs(3)))
    assert made.state(name) is State.RUNNING, f"{node} is not offered"
    made.now += 1.0
    made.end(name, reason)
    for other in others:
        made.cancel(other)
        made.end(other, Reason.CANCELLED)
    return name


def trust(made, place=("far", "")):
    return made.cluster.breakers.trust(place)


def make_bad(made, node="far"):
    for target in ("m.a", "m.b", "m.c"):
        run(made, Reason.CRASHED, target, node=node)
    assert trust(made, (node, "")) is Trust.SHUT


# --- what is evidence


def test_three_failures_in_a_row_of_different_functions_shut_a_node():
    made = stage("far")
    run(made, Reason.CRASHED, "m.a")
    run(made, Reason.LOST, "m.b")
    assert trust(made) is Trust.TRUSTED
    run(made, Reason.CRASHED, "m.a")
    assert trust(made) is Trust.SHUT
    names = [f"w{number}" for number in range(8)]
    made.turn(Submitted([made.new(name) for name in names]))
    assert {node_of(made, name) for name in made.running} == {LOCAL}
    assert made.states(" ".join(names)).count(State.RUNNING) == 4


@pytest.mark.parametrize("reason", [None, Reason.ERROR])
def test_a_call_that_comes_to_its_own_end_clears_the_place(reason):
    made = stage("far")
    for target in ("m.a", "m.b"):
        run(made, Reason.CRASHED, target)
    run(made, reason, "m.c")
    for target in ("m.a", "m.b"):
        run(made, Reason.CRASHED, target)
    assert trust(made) is Trust.TRUSTED


def test_a_function_that_crashes_everywhere_is_to_blame_itself():
    made = stage("far")
    for _ in range(10):
        run(made, Reason.CRASHED, "m.a")
    assert trust(made) is Trust.TRUSTED


def test_a_function_that_runs_well_elsewhere_is_not_to_blame():
    made = stage("far")
    run(made, Reason.CRASHED, "m.a")
    run(made, None, "m.a", node=LOCAL)
    run(made, Reason.CRASHED, "m.a")
    run(made, Reason.CRASHED, "m.a")
    assert trust(made) is Trust.SHUT


def test_what_one_incident_ends_is_one_failure():
    made = stage("far")
    names = [f"t{number}" for number in range(8)]
    made.turn(Submitted([made.new(name, terms(f"m.{name}")) for name in names]))
    made.now += 1.0
    made.turn(*(made.ended(name, Reason.LOST) for name in names))
    assert trust(made) is Trust.TRUSTED


@pytest.mark.parametrize("reason", [Reason.TIMEOUT, Reason.CANCELLED, Reason.REJECTED, Reason.OUT_OF_MEMORY])
def test_what_was_stopped_or_never_started_says_nothing(reason):
    made = stage("far")
    for target in ("m.a", "m.b"):
        run(made, Reason.CRASHED, target)
    run(made, reason, "m.c")
    run(made, Reason.CRASHED, "m.d")
    assert trust(made) is Trust.SHUT


def test_nobody_is_withheld_where_the_settings_say_never():
    made = stage("far", after=0)
    for target in "abcdef":
        run(made, Reason.CRASHED, f"m.{target}")
    assert trust(made) is Trust.TRUSTED


# --- half open


def test_after_its_time_one_task_tries_the_place_and_a_good_end_opens_it():
    made = stage("far")
    make_bad(made)
    made.turn(Submitted([made.new(f"w{number}") for number in range(8)]))
    made.wait(30.0)
    assert trust(made) is Trust.PROBATION
    there = [name for name in made.running if node_of(made, name) == "far"]
    assert len(there) == 1
    made.now += 1.0
    made.end(there[0], Reason.ERROR)
    assert trust(made) is Trust.TRUSTED
    assert len([name for name in made.running if node_of(made, name) == "far"]) == 3


def test_a_probe_that_fails_doubles_the_time_up_to_the_longest():
    made = stage("far")
    make_bad(made)
    for seconds in (30.0, 60.0, 100.0, 100.0):
        made.wait(seconds - 1.0)
        assert trust(made) is Trust.SHUT
        made.wait(1.0)
        assert trust(made) is Trust.PROBATION
        run(made, Reason.CRASHED, "m.a")
        assert trust(made) is Trust.SHUT


def test_a_place_that_was_well_for_long_begins_with_the_first_time_again():
    made = stage("far")
    make_bad(made)
    made.wait(30.0)
    run(made, None, "m.a")
    made.now += 101.0
    make_bad(made)
    made.wait(30.0)
    assert trust(made) is Trust.PROBATION


def test_short_calls_do_not_queue_up_behind_the_probe():
    made = stage("far")
    short = terms("m.short")
    for _ in range(3):
        made.submit("s", short)
        made.end("s", seconds=0.001)
        made.cluster.pruned(["s"], [State.SUCCEEDED])
    make_bad(made)
    made.turn(Submitted([made.new(f"fill{number}", terms("m.long")) for number in range(4)]))
    made.wait(30.0)
    made.turn(Submitted([made.new(f"w{number}", short) for number in range(10)]))
    there = [name for name in made.running if node_of(made, name) == "far"]
    assert len(there) == 1


def test_a_probe_that_goes_on_for_long_shows_that_the_place_is_well():
    made = stage("far")
    make_bad(made)
    made.turn(Submitted([made.new(f"w{number}") for number in range(8)]))
    made.wait(30.0)
    made.wait(29.0)
    assert len(made.running) == 5
    made.wait(1.0)
    assert len(made.running) == 8
    assert trust(made) is Trust.TRUSTED


# --- bounds


def test_a_lone_node_is_never_shut_and_an_alert_says_why():
    made = stage()
    for target in ("m.a", "m.b", "m.c", "m.d"):
        run(made, Reason.CRASHED, target, node=LOCAL)
    assert trust(made, (LOCAL, "")) is Trust.TRUSTED
    made.submit("next")
    assert made.state("next") is State.RUNNING
    (alert,) = alerts_of(made.cluster, made.now)
    assert alert.startswith("local may be broken: the last 3 attempts ended without a result (1 of m.b, 1 of m.c, ")
    made.end("next")
    assert not list(alerts_of(made.cluster, made.now))


def test_of_two_broken_nodes_one_stays_in_use():
    made = stage("far")
    make_bad(made)
    for target in ("m.a", "m.b", "m.c"):
        run(made, Reason.CRASHED, target, node=LOCAL)
    assert trust(made, (LOCAL, "")) is Trust.TRUSTED


def test_a_node_that_could_not_run_the_work_is_no_other_node():
    made = Stage(4)
    made.turn(NodeChanged(Node("tiny", needs(1).amounts)))
    for target in ("m.a", "m.b", "m.c"):
        run(made, Reason.CRASHED, target, node=LOCAL)
    assert trust(made, (LOCAL, "")) is Trust.TRUSTED


# --- devices


def on(made, device, reason, target, shape=ONE):
    """A task on this device ends so."""
    name = f"t{made.cluster.next_seq}"
    made.submit(name, on_gpus(replace(shape, device=device), target))
    assert made.state(name) is State.RUNNING, f"{device} is not offered"
    made.now += 1.0
    made.end(name, reason)
    if made.cluster.resting:
        made.turn(*(SlotGone(slot) for slot in list(made.cluster.resting)))
    return name


def make_gpu_bad(made, device="gpu0"):
    for target in ("m.a", "m.b", "m.c"):
        on(made, device, Reason.CRASHED, target)


def test_a_device_that_fails_is_withheld_and_the_other_takes_its_work():
    made = stage(gpus=(gpu(0), gpu(1)))
    make_gpu_bad(made)
    assert trust(made, (LOCAL, "GPU-0")) is Trust.SHUT
    assert trust(made, (LOCAL, "")) is Trust.TRUSTED
    made.submit("next", on_gpus(ONE))
    (launch,) = made.effects(Launch)
    assert launch.devices == ("GPU-1",)
    (alert,) = alerts_of(made.cluster, made.now)
    assert alert == (
        "gpu0 of local is in quarantine for 30 s more, then one task tries it: the last 3 attempts ended without a"
        " result (1 of m.a, 1 of m.b, 1 of m.c). Once it is well: mcp-scheduler undrain gpu0"
    )


def test_a_shared_device_is_tried_with_one_task():
    made = stage(gpus=(gpu(0),))
    make_gpu_bad(made)
    made.turn(Submitted([made.new(f"w{number}", on_gpus(share(2), f"m.w{number}")) for number in range(3)]))
    assert not made.running
    made.wait(30.0)
    assert made.running == ["w0"]
    assert made.cluster.rooms[LOCAL].devices.explain(share(2)) == ["gpu0: tried with one task after its quarantine"]
    made.now += 1.0
    made.end("w0")
    assert made.running == ["w1", "w2"]


def test_a_person_lifts_the_quarantine():
    made = stage("far", gpus=(gpu(0),))
    make_gpu_bad(made)
    make_bad(made)
    made.turn(QuarantineLifted(LOCAL, "GPU-0"), QuarantineLifted("far", ""))
    assert not made.cluster.breakers.known
    made.submit("next", on_gpus(ONE))
    assert made.state("next") is State.RUNNING
    assert distrust(made.cluster, ("far", ""), made.now) == ""


def test_a_quarantine_outlasts_a_commit_that_failed():
    made = stage("far")
    make_bad(made)
    made.fail_commit()
    assert trust(made) is Trust.SHUT
    made.wait(30.0)
    made.submit("probe", terms(needs=needs(4)))
    made.fail_commit()
    assert trust(made) is Trust.PROBATION


# --- lost in the middle


def test_what_ran_on_a_node_that_is_lost_runs_elsewhere_within_a_second():
    made = stage("far")
    names = [f"t{number}" for number in range(6)]
    made.turn(Submitted([made.new(name, terms(idempotent=True, retry=Retry())) for name in names]))
    there = [name for name in names if node_of(made, name) == "far"]
    assert there
    for name in set(names) - set(there):
        made.end(name)
    made.turn(NodeChanged(Node("far", ())), *(made.ended(name, Reason.LOST) for name in there))
    detected = made.now
    while made.cluster.next_due() is not None and made.now < detected + 1.0:
        made.wait(max(0.0, made.cluster.next_due() - made.now))
    assert {node_of(made, name) for name in there} == {LOCAL}
    assert max(made.cluster.attempts[made.attempt(name)].at for name in there) <= detected + 1.0


@pytest.mark.parametrize("health", [Health.LOST, Health.QUARANTINED])
def test_what_runs_on_a_device_that_is_gone_or_broken_is_stopped_as_lost_and_runs_elsewhere(health):
    made = stage(gpus=(gpu(0), gpu(1)))
    made.submit("a", on_gpus(ONE, idempotent=True, retry=Retry()))
    made.turn(DevicesSeen(LOCAL, (gpu(0, health=health, why="Xid 79"), gpu(1))))
    assert made.stopped == [("a", Reason.LOST)]
    made.turn(DevicesSeen(LOCAL, (gpu(0, health=health, why="Xid 79"), gpu(1))))
    assert made.stopped == []
    detected = made.now
    made.end("a", Reason.LOST)
    made.wait(made.cluster.next_due() - made.now)
    assert made.cluster.attempts[made.attempt("a")].devices == ("GPU-1",)
    assert made.now <= detected + 1.0
