"""Two nodes and two GPUs that break and heal, with an engine that may lose a commit, and what quarantine promises."""

from __future__ import annotations

import json
from collections.abc import Sequence

from mcp_scheduler.core import quarantine
from mcp_scheduler.core.breakers import Breakers, Trust
from mcp_scheduler.core.changes import Evict
from mcp_scheduler.core.check import check
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.events import DevicesSeen, Event, NodeChanged, PoolSized, QuarantineLifted, SlotGone, Submitted
from mcp_scheduler.core.node import LOCAL, Attempt, Node
from mcp_scheduler.core.seen import GpuSeen
from mcp_scheduler.core.states import FINAL, Reason, State
from mcp_scheduler.core.task import MILLI, NO_EXTRAS, Extras, Needs, Retry
from mcp_scheduler.policies.order import PRIORITY
from tests.core.builders import Stage, needs, terms

GIB = 2**30
FIRST, LONGEST = 10.0, 15.0
NODES = (LOCAL, "far")
GPUS = tuple(GpuSeen(f"GPU-{n}", n, "RTX 3090", "rtx", 24 * GIB, used=0, free=24 * GIB) for n in range(2))
PLACES = (*((name, "") for name in NODES), *((LOCAL, gpu.uuid) for gpu in GPUS))
PINS = ((LOCAL, "rtx"), (LOCAL, ""), ("far", ""), (LOCAL, "other"))
AGAIN = Retry(3, 1.0, jitter=0.0)
CPU = needs(1).amounts
SHORT = ("m.short", "m.share")  # such calls follow each other in one slot
SHAPES = (
    terms("m.short", retry=AGAIN),
    terms("m.long", needs=needs(2), retry=AGAIN),
    terms("m.other", idempotent=True),
    terms("m.gpu", needs=Needs(CPU, gpus=1), retry=AGAIN),
    terms("m.share", needs=Needs(CPU, gpus=1, gpu_memory=4 * GIB), retry=AGAIN),
    terms("m.gang", needs=Needs(CPU, gpus=2), retry=AGAIN),
)
ENDS = (None, None, Reason.ERROR, Reason.CRASHED, Reason.CRASHED, Reason.LOST, Reason.TIMEOUT)


class Quarantines:
    """Each turn is watched: who was shut before it starts nothing in it, who is on probation one task at most."""

    def __init__(self) -> None:
        self.stage = Stage(4, policy=PRIORITY)
        self.shut_since: dict[tuple[str, str], float] = {}
        self._furnish(self.stage.cluster)
        for name in NODES:
            self.stage.turn(NodeChanged(Node(name, needs(4).amounts)))
        self.stage.turn(DevicesSeen(LOCAL, GPUS))

    def _furnish(self, cluster: Cluster) -> None:
        cluster.breakers = Breakers(2, FIRST, LONGEST)
        for target in SHORT:
            cluster.estimates.learn(target, 0.001)

    def turn(self, *events: Event) -> None:
        cluster = self.stage.cluster
        before = {place: cluster.breakers.trust(place) for place in PLACES}
        ends = {place: cluster.breakers.known[place].until for place in before if before[place] is Trust.SHUT}
        lifted = {(event.node, event.device) for event in events if isinstance(event, QuarantineLifted)}
        decision = self.stage.turn(*events)
        self._look_at_size(decision.changes.started)
        started = [attempt for attempt in decision.changes.started if attempt.id in cluster.attempts]
        for place in PLACES:
            here = [one for one in started if one.node == place[0] and (not place[1] or place[1] in one.devices)]
            if before[place] is Trust.SHUT and self.stage.now < ends[place] and place not in lifted:
                assert not here, f"{here} are started on {place}, which is shut."
            if cluster.breakers.trust(place) is Trust.PROBATION:
                assert len(here) <= 1, f"{here} are started on {place}, which is on probation."
                assert not here or self._tenants(place) == 1, f"{here} are started beside others on {place}."
            self._look_at_time(place)
        guards = [cluster.breakers.trust((name, "")) for name in NODES]
        assert guards.count(Trust.TRUSTED) > 0, f"No node is trusted: {guards}."
        gone = [effect.slot for effect in decision.effects if isinstance(effect, Evict)]
        if gone:
            self.turn(*map(SlotGone, gone))

    def _look_at_size(self, started: Sequence[Attempt]) -> None:
        room = self.stage.cluster.rooms[LOCAL]
        fresh = {one.slot for one in started if one.slot == str(one.id) and one.slot in room.slots}
        cpus = [dict(room.slots[name].terms.needs.amounts)["cpus"] for name in fresh]
        used = room.total["cpus"] - room.free["cpus"]
        if cpus and room.limit and len(room.slots) > 1:
            assert used <= max(room.limit, *cpus), f"{used} are used, {room.limit} offered, {fresh} started."

    def _tenants(self, place: tuple[str, str]) -> int:
        slots = [slot for slot in self.stage.cluster.slots.values() if slot.node == place[0]]
        return sum(len(slot.attempts) for slot in slots if not place[1] or place[1] in slot.devices)

    def _look_at_time(self, place: tuple[str, str]) -> None:
        if self.stage.cluster.breakers.trust(place) is not Trust.SHUT:
            self.shut_since.pop(place, None)
            return
        until = self.stage.cluster.breakers.known[place].until
        since = self.shut_since.setdefault(place, self.stage.now)
        assert self.stage.now < until <= since + LONGEST, f"{place} is shut since {since}, until {until}."

    # --- what happens

    def submit(self, shape: int, pin: tuple[str, str] | None = None) -> None:
        name = f"t{self.stage.cluster.next_seq}"
        extras = Extras(pin=pin, pin_for=5.0) if pin else NO_EXTRAS
        new = self.stage.new(name, SHAPES[shape % len(SHAPES)], extras=extras)
        self.turn(Submitted([new]))

    def end(self, pick: int, reason: Reason | None, seconds: float) -> None:
        running = self.stage.running
        if running:
            name = running[pick % len(running)]
            is_short = self.stage.task(name).terms.target in SHORT
            self.turn(self.stage.ended(name, reason, seconds=0.001 if is_short else seconds))

    def fail_at(self, pick: int) -> None:
        """Everything that runs there crashes, one after the other; there is something."""
        node, device = PLACES[pick % len(PLACES)]
        for shape in (4, 3) if device else (0, 2):
            self.submit(shape)
        there = [
            one.id
            for one in self.stage.cluster.attempts.values()
            if one.node == node and (not device or device in one.devices)
        ]
        for attempt in there:
            self.stage.now += 0.1
            self.turn(self.stage.ended(attempt.task, Reason.CRASHED))

    def end_all(self, reason: Reason) -> None:
        """One incident."""
        self.turn(*(self.stage.ended(name, reason) for name in self.stage.running))

    def wait(self, seconds: float) -> None:
        """Time passes as it does for the engine: nothing that is due is passed over."""
        end = self.stage.now + seconds
        while (due := self.stage.cluster.next_due()) is not None and due <= end:
            self.stage.now = max(self.stage.now, due)
            self.turn()
        self.stage.now = end
        self.turn()

    def lift(self, pick: int) -> None:
        self.turn(QuarantineLifted(*PLACES[pick % len(PLACES)]))

    def size(self, cpus: int) -> None:
        """The pool of a node offers fewer CPUs than it has; 0: all."""
        self.turn(PoolSized(LOCAL, cpus * MILLI, "wished"))

    def disk_fails(self) -> None:
        self.stage.fail_commit()

    def engine_dies(self) -> None:
        """The next one adopts what runs, and goes on with the quarantines; it sees the devices a turn later."""
        old = self.stage.cluster
        new = Cluster(PRIORITY)
        unfinished = [task for task in old.tasks.values() if task.status.state not in FINAL]
        new.load(unfinished, old.attempts.values(), old.next_seq)
        self.stage.cluster = new
        self._furnish(new)
        for name in NODES:
            new.set_node(Node(name, needs(4).amounts))
        new.rebuild()
        for place in old.breakers.known:
            new.breakers.take_up(place, json.loads(json.dumps(old.breakers.row(place))), self.stage.now)
        quarantine.go_on(new, self.stage.now)
        check(new)
        self.turn()
        self.turn(DevicesSeen(LOCAL, GPUS))

    def drain(self) -> None:
        """Nothing breaks any more: everything comes to its end."""
        for _ in range(2000):
            if self.stage.running:
                self.end(0, None, 1.0)
            elif self.stage.cluster.unfinished:
                due = self.stage.cluster.next_due()
                assert due is not None, "Tasks wait, and nothing wakes up for them."
                self.wait(max(0.0, due - self.stage.now))
            else:
                break
        left = [task.id for task in self.stage.cluster.tasks.values() if task.status.state not in FINAL]
        assert not left, f"These never end: {left}"
        assert self.stage.cluster.counts[State.RUNNING] == 0
