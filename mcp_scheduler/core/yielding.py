"""Whose turn is over when a round begins: looked at once, however many wait."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from mcp_scheduler.core.policy import Sharing, TaskClass
from mcp_scheduler.core.slots import DEVICES

if TYPE_CHECKING:
    from mcp_scheduler.core.draft import Draft
    from mcp_scheduler.core.slots import Room, Slot

LOOKS: Final = 256  # turns that are looked at in one round
TRIES: Final = 8  # heads that lack the same thing and find nobody to help them


class Over:
    """Slots whose call has had its turn and can make way, the lowest in rank first: who waits with an equal or higher
    rank may have its place. Whoever is told to make way leaves. Heads of queues come in the order of their ranks, so
    the first that none of these would make way for is the last that has to be asked about."""

    __slots__ = ("_in_order", "_vain", "line")

    def __init__(self, line: dict[str, float], *, in_order: bool) -> None:
        self.line = line  # slot → the rank of its call if it waited from now on
        self._in_order = in_order  # heads come so
        self._vain: dict[tuple[str, str], int] = {}  # node, and what was lacking there → heads that were not helped

    def makes_way_for(self, rank: float | None) -> bool:
        """Whether anybody would make way for the head of the queue, which has this rank, or for one behind it."""
        if rank is None or not self.line:
            return False
        return not self._in_order or next(iter(self.line.values())) >= rank

    def before(self, draft: Draft, room: Room, rank: float) -> list[Slot]:
        """Those of this node that would not go before `rank`, the lowest first."""
        slots = draft.cluster.slots
        return [
            slot
            for slot_id, own in self.line.items()
            if own >= rank and (slot := slots[slot_id]).node == room.node.name and len(slot.attempts) == 1
        ]

    def leave(self, slot: Slot) -> None:
        """It was told to make way."""
        self.line.pop(slot.id, None)

    def in_vain(self, draft: Draft, room: Room, missing: list[str]) -> None:
        """A head that lacks this on the node was not helped, or will be by those that were asked before. After a few
        that lack the same one thing, those that hold it go on: what waits behind for it has its turn later. Of several
        things that are missing nobody knows which one was in the way."""
        if len(missing) != 1:
            return
        lack = (room.node.name, missing[0])
        count = self._vain[lack] = self._vain.get(lack, 0) + 1
        if count == TRIES:
            slots = draft.cluster.slots
            held = [one for one in self.line if slots[one].node == room.node.name and holds(slots[one], missing[0])]
            for slot_id in held:
                del self.line[slot_id]


NOBODY: Final = Over({}, in_order=True)


def over(draft: Draft) -> Over:
    """Whose turn is over now."""
    slices, slots = draft.cluster.slices, draft.cluster.slots
    found: list[tuple[float, float, str]] = []
    for slot_id, since in islice(slices.turns.items(), LOOKS):
        if since + slices.quantum > draft.now:
            break
        own = rank_of(draft, slots[slot_id], draft.now) if len(slots[slot_id].attempts) == 1 else None
        if own is not None:
            found.append((-own, since, slot_id))
    if not found:
        return NOBODY
    line = {slot_id: -rank for rank, _, slot_id in sorted(found)}
    return Over(line, in_order=draft.cluster.policy.sharing is Sharing.NONE)


def holds(slot: Slot, name: str) -> bool:
    """Whether the slot holds any of this resource."""
    return bool(slot.devices) if name == DEVICES else any(name == held for held, _ in slot.terms.needs.amounts)


def rank_of(draft: Draft, slot: Slot, since: float) -> float | None:
    """The rank of the slot's call, as if it had waited since then; None if it is being stopped: it does not wait."""
    cluster = draft.cluster
    attempt = next(iter(slot.attempts))
    task = draft.task(attempt.task)
    if attempt in cluster.stopping or task is None:
        return None
    kind = TaskClass(task.terms, draft.status(task).priority, cluster.expected(task), slot.share)
    return cluster.policy.rank(kind, since, task.deadline, cluster.ready.scene)
