"""Long random walks of rounds with GPUs, over workers that live on: no GPU is given to two that may not share it."""

from random import Random

import pytest
from test_device_rounds import ONE, TWO, GpuStage, gpu, on_gpus, share

from mcp_scheduler.core.changes import Evict, Launch
from mcp_scheduler.core.check import check
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.events import DeviceWithheld, NodeChanged, SlotGone
from mcp_scheduler.core.node import LOCAL, Node
from mcp_scheduler.core.states import FINAL, Reason
from mcp_scheduler.policies.order import PRIORITY
from tests.core.builders import needs

GPUS = (gpu(0), gpu(1), gpu(2))
SHAPES = (ONE, TWO, share(6), share(14), share(23))


class Walk:
    """`alive` has the workers on GPUs as they really are: slot → devices, and whether they need them whole."""

    def __init__(self, seed):
        self.random = Random(seed)
        self.stage = GpuStage(*GPUS, cpus=6)
        self.alive = {}
        self.evicted = set()
        self.names = 0

    def carry_out(self):
        for effect in self.stage.decision.effects:
            if isinstance(effect, Launch):
                self.start(effect)
            elif isinstance(effect, Evict):
                self.evicted.add(effect.slot)

    def start(self, launch):
        whole = not launch.terms.needs.gpu_memory
        self.evicted.discard(launch.slot)
        for slot, (devices, is_whole) in self.alive.items():
            if slot != launch.slot and set(devices) & set(launch.devices):
                is_idle = slot not in self.stage.cluster.slots
                assert not whole, f"{launch.devices} are given whole, and {slot} lives there."
                assert not is_whole or is_idle, f"{launch.devices} are shared with {slot}, which has them whole."
        self.alive[launch.slot] = (launch.devices, whole)

    def step(self):
        getattr(self, self.random.choice(STEPS))()
        self.carry_out()

    def submit(self):
        self.names += 1
        wanted, target = self.random.choice(SHAPES), self.random.choice(("m.a", "m.b"))
        self.stage.submit(f"t{self.names}", on_gpus(wanted, target), priority=self.random.randrange(3))

    def end(self):
        if self.stage.running:
            reason = self.random.choice((None, None, Reason.ERROR, Reason.OUT_OF_MEMORY))
            self.stage.end(self.random.choice(self.stage.running), reason)

    def worker_goes(self):
        """One that was asked to, or that dies by itself while it has nothing to do."""
        idle = [slot for slot in self.alive if slot not in self.stage.cluster.slots]
        if idle:
            slot = self.random.choice(sorted(self.evicted & set(idle)) or idle)
            del self.alive[slot]
            self.stage.turn(SlotGone(slot))

    def disk_fails(self):
        self.stage.fail_commit(NodeChanged(Node(LOCAL, needs(6).amounts)))

    def engine_dies(self):
        """The next one ends workers that have nothing to do, and adopts the others."""
        old = self.stage.cluster
        new = Cluster(PRIORITY)
        new.load([task for task in old.tasks.values() if task.status.state not in FINAL], old.attempts.values())
        new.set_node(Node(LOCAL, needs(6).amounts))
        self.alive = {slot: held for slot, held in self.alive.items() if slot in old.slots}
        new.rebuild()
        check(new)
        self.stage.cluster = new
        self.stage.see(*GPUS)

    def drain(self):
        why = self.random.choice(("drained", None))
        self.stage.turn(DeviceWithheld(LOCAL, self.random.choice(GPUS).uuid, "drain", why))

    def wait(self):
        self.stage.wait(self.random.choice((1.0, 400.0)))


STEPS = ("submit", "submit", "end", "end", "worker_goes", "disk_fails", "engine_dies", "drain", "wait")


@pytest.mark.parametrize("seed", range(12))
def test_no_gpu_is_given_to_two_that_may_not_share_it_and_nobody_waits_for_ever(seed):
    walk = Walk(seed)
    for _ in range(250):
        walk.step()
    for seen in GPUS:
        walk.stage.turn(DeviceWithheld(LOCAL, seen.uuid, "drain", None))
        walk.carry_out()
    for _ in range(4 * walk.names):
        walk.end()
        walk.carry_out()
        walk.worker_goes()
        walk.carry_out()
    assert not walk.stage.running
    assert walk.stage.cluster.unfinished == 0
