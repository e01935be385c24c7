"""GPUs in the rounds of the placement: promised once, kept warm, given up when somebody needs them, kept for gangs."""

from dataclasses import replace

import pytest

from mcp_scheduler.core.changes import Evict, Launch
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.events import DevicesSeen, DeviceWithheld, Ended, NodeChanged, Outcome, SlotGone, Submitted
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import LOCAL, Attempt, Node
from mcp_scheduler.core.seen import GpuProcess, GpuSeen, Health
from mcp_scheduler.core.slots import WINDOW_SECONDS
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.core.task import Kind, Needs
from mcp_scheduler.policies.order import PRIORITY
from tests.core.builders import Stage, needs, terms

GIB = 2**30
CPU = (("cpus", 1000),)
ONE, TWO = Needs(CPU, gpus=1), Needs(CPU, gpus=2)


def share(gib):
    return Needs(CPU, gpus=1, gpu_memory=gib * GIB)


def gpu(index, **fields):
    total = 24 * GIB
    seen = GpuSeen(f"GPU-{index}", index, "RTX 3090", "rtx-3090-24gb", total, used=0, free=total)
    return replace(seen, **fields)


def on_gpus(wanted, target="module.train", **options):
    return terms(target, needs=wanted, **options)


class GpuStage(Stage):
    def __init__(self, *gpus, cpus=4):
        super().__init__(cpus)
        self.see(*gpus)

    def see(self, *gpus):
        return self.turn(DevicesSeen(LOCAL, gpus))

    def devices_of(self, name):
        return self.cluster.attempts[self.attempt(name)].devices

    def slot_of(self, name):
        return self.cluster.attempts[self.attempt(name)].slot

    @property
    def evicted(self):
        return [effect.slot for effect in self.effects(Evict)]


def test_a_gpu_is_promised_to_one_task_and_the_others_wait():
    stage = GpuStage(gpu(0))
    stage.submit("a", on_gpus(ONE))
    (launch,) = stage.effects(Launch)
    assert launch.devices == ("GPU-0",)
    assert stage.devices_of("a") == ("GPU-0",)
    stage.submit("b", on_gpus(ONE))
    assert stage.state("b") is State.QUEUED
    stage.end("a")
    assert stage.devices_of("b") == ("GPU-0",)


def test_a_gang_gets_all_or_nothing_and_small_ones_do_not_starve_it():
    stage = GpuStage(gpu(0), gpu(1))
    stage.submit("small", on_gpus(ONE, "module.small"))
    stage.submit("gang", on_gpus(TWO, "module.gang"))
    stage.submit("later", on_gpus(ONE, "module.later"))
    assert stage.states("gang later") == [State.QUEUED, State.QUEUED]  # a GPU is free, and kept for the gang
    stage.submit("cpu", terms())
    assert stage.state("cpu") is State.RUNNING
    stage.end("small")
    assert stage.evicted == ["small.1"]
    assert stage.state("gang") is State.QUEUED
    stage.turn(SlotGone("small.1"))
    assert stage.devices_of("gang") == ("GPU-0", "GPU-1")
    assert stage.state("later") is State.QUEUED


def test_shares_of_a_gpu_go_where_the_least_is_left_over():
    stage = GpuStage(gpu(0), gpu(1))
    stage.submit("a", on_gpus(share(12)))
    stage.submit("b", on_gpus(share(8)))
    assert stage.devices_of("a") == stage.devices_of("b")
    stage.submit("whole", on_gpus(ONE))
    assert stage.devices_of("whole") != stage.devices_of("a")


def test_the_next_call_of_its_kind_gets_the_warm_worker_back():
    stage = GpuStage(gpu(0), gpu(1))
    stage.submit("a", on_gpus(ONE))
    place, devices = stage.slot_of("a"), stage.devices_of("a")
    stage.end("a")
    assert stage.cluster.rooms[LOCAL].free["cpus"] == 4000  # a resting worker takes no cpu
    stage.submit("b", on_gpus(ONE))
    assert (stage.slot_of("b"), stage.devices_of("b")) == (place, devices)


def test_a_warm_worker_goes_when_somebody_else_needs_its_gpu():
    stage = GpuStage(gpu(0))
    stage.submit("a", on_gpus(ONE))
    stage.end("a")
    stage.submit("b", replace(on_gpus(ONE, "other.train"), environment="another"))
    assert stage.evicted == ["a.1"]
    assert stage.state("b") is State.QUEUED
    stage.submit("c", on_gpus(ONE))  # of the kind of `a`, but its worker is leaving, and `b` goes first
    assert stage.evicted == []
    stage.turn(SlotGone("a.1"))
    assert stage.states("b c") == [State.RUNNING, State.QUEUED]


def test_a_warm_worker_goes_when_it_has_rested_for_long_enough():
    stage = GpuStage(gpu(0))
    stage.submit("a", on_gpus(ONE))
    stage.end("a")
    stage.wait(stage.cluster.warm_seconds - 1)
    assert stage.evicted == []
    stage.wait(1)
    assert stage.evicted == ["a.1"]
    stage.turn(SlotGone("a.1"))
    assert not stage.cluster.rooms[LOCAL].devices.held


def test_a_warm_worker_that_was_called_again_is_not_evicted_by_the_old_timer():
    stage = GpuStage(gpu(0))
    stage.submit("a", on_gpus(ONE))
    stage.end("a")
    stage.wait(200)
    stage.submit("b", on_gpus(ONE))
    stage.end("b")
    stage.wait(200)
    assert stage.evicted == []
    stage.wait(100)
    assert stage.evicted == ["a.1"]


def test_a_commands_devices_are_free_with_its_end():
    stage = GpuStage(gpu(0))
    stage.submit("a", replace(on_gpus(ONE), kind=Kind.COMMAND))
    stage.submit("b", replace(on_gpus(ONE), kind=Kind.COMMAND, environment="another"))
    stage.end("a")
    assert stage.state("b") is State.RUNNING
    assert stage.evicted == []


def test_the_end_of_a_slot_that_is_in_use_again_changes_nothing():
    stage = GpuStage(gpu(0))
    stage.submit("a", on_gpus(ONE))
    stage.end("a", Reason.CRASHED)
    stage.submit("b", on_gpus(ONE))
    assert stage.slot_of("b") == "a.1"
    stage.turn(SlotGone("a.1"))
    assert stage.cluster.rooms[LOCAL].devices.held_by("a.1") == ("GPU-0",)


def test_a_foreign_process_keeps_a_gpu_from_being_given_as_a_whole():
    stage = GpuStage(gpu(0, used=GIB, free=23 * GIB, processes=(GpuProcess(4711, GIB),)))
    stage.submit("a", on_gpus(ONE))
    assert stage.state("a") is State.QUEUED
    assert "4711" in "".join(stage.cluster.rooms[LOCAL].devices.explain(ONE))
    stage.see(gpu(0))
    assert stage.state("a") is State.RUNNING


def test_a_drained_gpu_takes_nothing_new_and_its_warm_worker_goes():
    stage = GpuStage(gpu(0))
    stage.submit("a", on_gpus(ONE))
    stage.end("a")
    stage.turn(DeviceWithheld(LOCAL, "GPU-0", "drain", "drained by its owner"))
    assert stage.evicted == ["a.1"]
    stage.turn(SlotGone("a.1"))
    stage.submit("b", on_gpus(ONE))
    assert stage.state("b") is State.QUEUED
    stage.turn(DeviceWithheld(LOCAL, "GPU-0", "drain", None))
    assert stage.state("b") is State.RUNNING


@pytest.mark.parametrize(
    "trouble",
    [
        DeviceWithheld(LOCAL, "GPU-0", "drain", "drained by its owner"),
        DevicesSeen(LOCAL, (gpu(0, health=Health.SILENT, why="The driver is silent."),)),
    ],
    ids=["drained", "silent"],
)
def test_no_call_is_put_behind_others_on_a_gpu_that_is_not_offered_any_more(trouble):
    stage = GpuStage(gpu(0))
    stage.submit("teacher", on_gpus(ONE))
    stage.end("teacher", seconds=WINDOW_SECONDS / 4)
    stage.turn(Submitted([stage.new(f"s{number}", on_gpus(ONE)) for number in range(10)]))
    assert stage.running == ["s0", "s1", "s2", "s3"]
    stage.turn(trouble)
    stage.end("s0", seconds=WINDOW_SECONDS / 4)
    assert stage.running == ["s1", "s2", "s3"]


def test_what_runs_on_a_drained_gpu_finishes():
    stage = GpuStage(gpu(0))
    stage.submit("a", on_gpus(ONE))
    stage.turn(DeviceWithheld(LOCAL, "GPU-0", "drain", "drained by its owner"))
    assert stage.state("a") is State.RUNNING
    assert stage.stopped == []


def test_a_lost_gpu_takes_nothing_new_and_what_failed_on_it_is_retried_elsewhere():
    stage = GpuStage(gpu(0), gpu(1))
    stage.submit("a", on_gpus(ONE, retry=2))
    lost = stage.devices_of("a")[0]
    well, broken = (gpu(1), gpu(0)) if lost == "GPU-0" else (gpu(0), gpu(1))
    stage.see(well, replace(broken, health=Health.LOST, why="It fell off the bus."))
    stage.end("a", Reason.ERROR)
    stage.wait(10)
    assert stage.devices_of("a") == (well.uuid,)


@pytest.mark.parametrize("trouble", ["lost", "drained"])
def test_who_waits_for_a_gpu_that_may_never_come_back_keeps_no_cpu_from_others(trouble):
    stage = GpuStage(gpu(0), gpu(1), cpus=2)
    if trouble == "lost":
        stage.see(gpu(0))
        stage.turn(DevicesSeen(LOCAL, (gpu(0), gpu(1, health=Health.LOST))))
    else:
        stage.turn(DeviceWithheld(LOCAL, "GPU-1", "drain", "a person wants it"))
    stage.submit("plain-0", terms("module.plain"))
    stage.submit("gang", on_gpus(Needs((("cpus", 2000),), gpus=2)), priority=5)
    for turn in range(4):
        stage.submit(f"plain-{turn + 1}", terms("module.plain"))
        stage.wait(1000.0)
        stage.end(f"plain-{turn}")
        assert stage.state(f"plain-{turn + 1}") is State.RUNNING
    stage.see(gpu(0), gpu(1))
    if trouble == "drained":
        stage.turn(DeviceWithheld(LOCAL, "GPU-1", "drain", None))
    stage.end("plain-4")
    assert stage.state("gang") is State.RUNNING, "its turn comes when all is well again"


def test_no_gpu_is_promised_twice_after_a_crash():
    before = GpuStage(gpu(0), gpu(1))
    before.submit("a", on_gpus(ONE))
    before.submit("b", on_gpus(share(10)))
    after = Cluster(PRIORITY)
    after.load(before.cluster.tasks.values(), before.cluster.attempts.values())
    after.set_node(Node(LOCAL, needs(4).amounts))
    after.rebuild()  # before any sensor has said anything
    stage = GpuStage.__new__(GpuStage)
    stage.cluster, stage.now, stage._seq = after, before.now, 100
    stage.see(gpu(0), gpu(1))
    stage.submit("c", on_gpus(ONE))
    assert stage.state("c") is State.QUEUED
    assert after.rooms[LOCAL].devices.held_by("a.1") == before.devices_of("a")
    stage.submit("d", on_gpus(share(12)))
    assert stage.devices_of("d") == before.devices_of("b")


def test_a_commit_that_fails_forgets_no_warm_worker_and_makes_none_up():
    stage = GpuStage(gpu(0), gpu(1))
    stage.submit("a", on_gpus(ONE))
    stage.end("a")
    stage.fail_commit(NodeChanged(Node(LOCAL, needs(4).amounts)))
    assert list(stage.cluster.resting) == ["a.1"]
    stage.submit("b", on_gpus(ONE))
    assert stage.slot_of("b") == "a.1"
    stage.fail_commit(Ended(stage.attempt("b"), stage.now, Outcome()))
    assert list(stage.cluster.slots) == ["a.1"]
    assert not stage.cluster.resting
    stage.end("b")
    assert list(stage.cluster.resting) == ["a.1"]


def test_an_attempt_that_was_never_committed_leaves_no_warm_worker_behind():
    stage = GpuStage(gpu(0))
    stage.fail_commit(Submitted([stage.new("a", on_gpus(ONE))]))
    assert not stage.cluster.rooms[LOCAL].devices.held


def test_promises_and_drains_survive_a_commit_that_fails():
    stage = GpuStage(gpu(0), gpu(1))
    stage.turn(DeviceWithheld(LOCAL, "GPU-1", "drain", "drained"))
    stage.submit("a", on_gpus(ONE))
    stage.fail_commit()
    stage.submit("b", on_gpus(ONE))
    assert stage.state("b") is State.QUEUED
    assert stage.cluster.attempts == {AttemptId("a", 1): Attempt(AttemptId("a", 1), "a.1", LOCAL, 1000.0, ("GPU-0",))}


def test_the_stages_of_a_pipeline_keep_to_their_own_devices():
    stage = GpuStage(gpu(0), gpu(1), cpus=4)
    new = []
    for item in "abc":
        new.append(stage.new(f"{item}1", on_gpus(ONE, "m.encode x 10"), group="g"))
        new.append(stage.new(f"{item}2", on_gpus(ONE, "m.decode x 10"), after=f"{item}1", group="g"))
    stage.turn(Submitted(new[:2]))
    first = stage.devices_of("a1")
    stage.end("a1")
    second = stage.devices_of("a2")
    assert second != first
    stage.turn(Submitted(new[2:4]))
    assert stage.devices_of("b1") == first
    stage.end("a2")
    stage.end("b1")
    stage.turn(Submitted(new[4:]))
    assert (stage.devices_of("b2"), stage.devices_of("c1")) == (second, first)
    stage.end("b2")
    stage.end("c1")
    assert stage.devices_of("c2") == second


def test_another_function_gets_a_warm_worker_where_no_other_device_is_free():
    stage = GpuStage(gpu(0))
    stage.submit("a", on_gpus(ONE, "m.encode"))
    slot = stage.slot_of("a")
    stage.end("a")
    stage.submit("b", on_gpus(ONE, "m.decode"))
    assert stage.slot_of("b") == slot
