"""Whose turn it is, where turns go by time: what `slicing` decides from.

A command that makes way stands still with all its processes: its CPUs are others' meanwhile, its memory stays reserved.
That it was told to is known here and nowhere else; an engine that dies leaves none standing (its shim sees to that).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.task import Kind

if TYPE_CHECKING:
    from mcp_scheduler.core.changes import Changes
    from mcp_scheduler.core.cluster import Cluster
    from mcp_scheduler.core.slots import Slot

CPUS: Final = "cpus"


class Slices:
    """`quantum`: seconds of a turn; 0 where nobody makes way. `turns`: slots whose call can make way → since when it
    has its turn, the longest first. `still`: slots whose command stands still → since when. `asked`: slots whose
    function was asked to give way → when. `crowded`: nodes of which more CPUs are taken than there are.

    Facts beside them: `told` has the attempts that stand still → since when, `lost` the seconds that an attempt has
    stood still before, `ran` the seconds that a task has run in attempts that gave way.
    """

    __slots__ = ("asked", "crowded", "lost", "quantum", "ran", "still", "told", "turns")

    def __init__(self) -> None:
        self.quantum = 0.0
        self.told: dict[AttemptId, float] = {}
        self.lost: dict[AttemptId, float] = {}
        self.ran: dict[str, float] = {}
        self.forget_derived()

    def forget_derived(self) -> None:
        self.turns: dict[str, float] = {}
        self.still: dict[str, float] = {}
        self.asked: dict[str, float] = {}
        self.crowded: list[str] = []

    def use(self, quantum: float, slots: dict[str, Slot]) -> None:
        """Turns are this long from now on. Who stands still goes on when there is room, whatever orders the rest."""
        self.quantum = quantum
        self.turns.clear()
        self.asked.clear()
        for slot in sorted(slots.values(), key=lambda slot: slot.since):
            self.begin(slot, slot.since)

    def begin(self, slot: Slot, now: float) -> None:
        """A call of this slot has its turn from now on, if it is one that can make way."""
        if not self.quantum:
            return
        self.turns.pop(slot.id, None)
        self.asked.pop(slot.id, None)
        if slot.still_since is None and (can_stand_still(slot) or slot.terms.kind is Kind.FUNCTION):
            self.turns[slot.id] = now

    def leave(self, slot: Slot) -> None:
        """The slot is gone."""
        self.turns.pop(slot.id, None)
        self.asked.pop(slot.id, None)

    def take_back_cpus(self, cluster: Cluster, slot: Slot) -> None:
        """Whoever stands still goes on, or leaves its slot: it holds all that it needs again."""
        if slot.still_since is not None:
            slot.still_since = None
            del self.still[slot.id]
            cluster.rooms[slot.node].lend(CPUS, -cpus_of(slot))

    def stood(self, attempt: AttemptId, now: float) -> float:
        """Seconds for which the attempt has stood still in all."""
        since = self.told.get(attempt)
        return self.lost.get(attempt, 0.0) + (max(0.0, now - since) if since is not None else 0.0)

    # --- facts

    def apply(self, cluster: Cluster, changes: Changes) -> None:
        """What was decided is going to be carried out. Time in which an attempt stood still is no time of its own: its
        timeout comes later by as much."""
        self.told.update(changes.stilled)
        for attempt, seconds in changes.continued.items():
            self.told.pop(attempt, None)
            self.lost[attempt] = self.lost.get(attempt, 0.0) + seconds
            began = cluster.began.get(attempt)
            timeout = cluster.tasks[attempt.task].terms.timeout
            if began is not None and timeout is not None:
                cluster.began[attempt] = began + seconds
                cluster.wake(began + seconds + timeout, attempt=attempt)

    def over(self, attempt: AttemptId) -> None:
        """The attempt has ended, or came back."""
        self.told.pop(attempt, None)
        self.lost.pop(attempt, None)

    def rebuild(self, cluster: Cluster) -> None:
        """Slots were derived anew from the attempts, as if all of them ran."""
        for attempt, seconds in self.lost.items():
            slot = cluster.slots.get(cluster.slot_of.get(attempt, ""))
            if slot is not None:
                slot.shift(seconds)
        for attempt, since in self.told.items():
            slot = cluster.slots.get(cluster.slot_of.get(attempt, ""))
            if slot is not None:
                slot.still_since = self.still[slot.id] = since
                cluster.rooms[slot.node].lend(CPUS, cpus_of(slot))
        self.use(self.quantum, cluster.slots)
        self.crowded = [room.node.name for room in cluster.rooms.values() if room.free.get(CPUS, 0) < 0]


def cpus_of(slot: Slot) -> int:
    """Thousandths of a CPU that it needs."""
    return next((amount for name, amount in slot.terms.needs.amounts if name == CPUS), 0)


def can_stand_still(slot: Slot) -> bool:
    """Whether its call is a command that the kernel can hold without harm: what it has on a device stays busy, so those
    with devices run on."""
    return slot.terms.kind is Kind.COMMAND and not slot.terms.needs.has_devices and cpus_of(slot) > 0
