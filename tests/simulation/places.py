"""Nodes and GPUs as they really are, and what may be started where, told by what became durable alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mcp_scheduler.core import quarantine
from mcp_scheduler.core.breakers import Breakers, Trust
from mcp_scheduler.core.changes import Changes
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.events import DevicesSeen, DeviceWithheld, Event, QuarantineLifted
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import LOCAL, Attempt, Node
from mcp_scheduler.core.seen import NVLINK, GpuSeen
from mcp_scheduler.core.task import Needs, Task
from tests.core.builders import needs
from tests.simulation.wanted import CPUS, FAR, GIB, LICENSES, MEMORY, NEW, OLD

DRAINED = "drain"


def _gpu(number: int, label: str, size: int, linked: str = "") -> GpuSeen:
    links = ((linked, NVLINK),) if linked else ()
    return GpuSeen(f"{label}{number}", number, label, label, size * GIB, used=0, free=size * GIB, links=links)


GPUS = {LOCAL: (_gpu(0, NEW, 24, f"{NEW}1"), _gpu(1, NEW, 24, f"{NEW}0"), _gpu(2, OLD, 16)), FAR: (_gpu(3, OLD, 16),)}


class Places:
    """`sizes`: CPUs of each node; `lost` and `drained`: devices; `open`: attempts under way, with what they were given;
    `began_on`: the nodes and devices of each task's last attempt."""

    def __init__(self, *, are_many: bool) -> None:
        self.are_many = are_many
        self.sizes = dict.fromkeys((LOCAL, FAR) if are_many else (LOCAL,), CPUS)
        self.gpus = GPUS if are_many else {}
        self.lost: set[str] = set()
        self.drained: set[str] = set()
        self.open: dict[AttemptId, tuple[Attempt, Needs]] = {}
        self.began_on: dict[str, tuple[str, ...]] = {}
        self._accounts: dict[tuple[str, str], str] = {}  # of quarantines, as they are kept
        self._shut: dict[tuple[str, str], float] = {}
        self.figures: Counter[str] = Counter()

    # --- what is there

    @property
    def devices(self) -> dict[str, GpuSeen]:
        return {gpu.uuid: gpu for gpus in self.gpus.values() for gpu in gpus}

    def node(self, name: str) -> Node:
        more = {"license": LICENSES} if name == LOCAL else {}
        return Node(name, needs(self.sizes[name], memory=MEMORY, **more).amounts)

    def seen(self) -> list[Event]:
        """What the sensors see."""
        there = {name: tuple(gpu for gpu in gpus if gpu.uuid not in self.lost) for name, gpus in self.gpus.items()}
        return [DevicesSeen(name, gpus) for name, gpus in there.items()]

    def withheld(self, uuid: str) -> DeviceWithheld:
        node = next(name for name, gpus in self.gpus.items() if uuid in {gpu.uuid for gpu in gpus})
        return DeviceWithheld(node, uuid, DRAINED, "drained" if uuid in self.drained else None)

    def told_at_boot(self) -> list[Event]:
        return [*map(self.withheld, sorted(self.drained)), *self.seen()]

    def furnish(self, cluster: Cluster) -> None:
        """A new engine knows the quarantines that were kept."""
        for name in self.sizes:
            cluster.set_node(self.node(name))
        if self.are_many:
            cluster.breakers = Breakers(2, 10.0, 15.0)

    def go_on(self, cluster: Cluster, now: float) -> None:
        for place, row in self._accounts.items():
            cluster.breakers.take_up(place, json.loads(row), now)
        quarantine.go_on(cluster, now)

    # --- what must hold

    def before(self, cluster: Cluster, events: Sequence[Event]) -> None:
        """A turn begins: who is in quarantine?"""
        known = cluster.breakers.known
        lifted = {(event.node, event.device) for event in events if isinstance(event, QuarantineLifted)}
        self._shut = {place: one.until for place, one in known.items() if one.trust is Trust.SHUT}
        for place in lifted:
            self._shut.pop(place, None)

    def look(self, changes: Changes, stored: Mapping[str, Task], now: float) -> None:
        """Just before they become durable: may these start where they do?"""
        for over in (*(ended.attempt for ended in changes.ended), *changes.returned):
            self.open.pop(over, None)
        added = {new.task.id: new.task for new in changes.added}
        for attempt in changes.started:
            task = added.get(attempt.id.task) or stored[attempt.id.task]
            asked = changes.terms.get(task.id, task.terms).needs
            self._look_at_start(attempt, asked, now)
            if task.extras.has_copies:
                self._look_at_copies(attempt)
            self.open[attempt.id] = (attempt, asked)
            self.began_on[task.id] = (attempt.node, *attempt.devices)
            self._count(attempt, task)

    def _count(self, attempt: Attempt, task: Task) -> None:
        self.figures["on GPUs"] += bool(attempt.devices)
        self.figures["on several GPUs"] += len(attempt.devices) > 1
        if task.extras.pin:
            node, label = task.extras.pin
            labels = {self.devices[uuid].label for uuid in attempt.devices}
            is_there = attempt.node == node and (not label or not labels or labels == {label})
            self.figures["in their planned place" if is_there else "in another place than the planned one"] += 1

    def _look_at_start(self, attempt: Attempt, asked: Needs, now: float) -> None:
        assert len(attempt.devices) == (asked.gpus or bool(asked.gpu_memory)), f"{attempt} does not get {asked}."
        devices = self.devices
        for uuid in attempt.devices:
            assert uuid not in self.lost, f"{attempt} is started on what is lost."
            assert uuid not in self.drained, f"{attempt} is started on what is drained."
            assert devices[uuid] in self.gpus[attempt.node], f"{attempt} is started on another node's device."
            assert not asked.device or devices[uuid].answers_to(asked.device), f"{attempt} does not get {asked}."
            self._look_at_others(attempt, uuid, asked)
        for place, until in self._shut.items():
            here = place[0] == attempt.node and (not place[1] or place[1] in attempt.devices)
            assert not here or now >= until, f"{attempt} is started on {place}, which is in quarantine."

    def _look_at_others(self, attempt: Attempt, uuid: str, asked: Needs) -> None:
        """Leases among them, which nobody launches."""
        for other, theirs in self._others_on(uuid, attempt):
            assert asked.gpu_memory, f"{attempt} gets {uuid} as a whole, and {other} is there."
            assert theirs.gpu_memory, f"{attempt} gets a part of {uuid}, and {other} has the whole."

    def _others_on(self, uuid: str, attempt: Attempt) -> Iterator[tuple[Attempt, Needs]]:
        for other, theirs in self.open.values():
            if uuid in other.devices and other.slot != attempt.slot:
                yield other, theirs

    def _look_at_copies(self, attempt: Attempt) -> None:
        for other, _ in self.open.values():
            is_beside = other.id.task == attempt.id.task and set(other.devices) & set(attempt.devices)
            assert not is_beside, f"{attempt} runs on a device of its sibling {other}."

    def durable(self, cluster: Cluster) -> None:
        """A turn is over, and what it has learnt is kept."""
        breakers = cluster.breakers
        shut = {place for place, one in breakers.known.items() if one.trust is Trust.SHUT}
        self.figures["quarantines"] += len(shut - self._shut.keys())
        self._accounts = {place: json.dumps(breakers.row(place)) for place in breakers.known}

    def check_rescued(self, uuid: str, stopping: Mapping[AttemptId, Any], alive: Mapping[AttemptId, str]) -> None:
        """A device was just lost, before the eyes of the engine: what lives there is told to end."""
        for attempt, (given, _) in self.open.items():
            left = attempt in alive and attempt not in stopping and uuid in given.devices
            assert not left, f"{attempt} is left alone on {uuid}, which is lost."
