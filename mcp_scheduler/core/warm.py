"""Slots with devices that rest: their worker is warm, and what it keeps on the devices stays promised to it.

A GPU worker takes seconds to start and to load a model, so it is kept. A call of its lane gets it back (`rise`);
whoever else needs its devices has it ended (`evict`), and so has time. They are free when its processes are gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_scheduler.core.changes import Evict
from mcp_scheduler.core.chunking import work
from mcp_scheduler.core.slots import NOTHING, Room, Slot, lane_of
from mcp_scheduler.core.task import Kind, Terms

if TYPE_CHECKING:
    from mcp_scheduler.core.cluster import Cluster
    from mcp_scheduler.core.draft import Draft


def vacate(cluster: Cluster, slot: Slot) -> None:
    """The slot is empty and has given its amounts back. A function's worker stays; a command is gone; of a lease nobody
    knows what its holder still does on the devices, so what was last seen there counts as a stranger's."""
    devices = cluster.rooms[slot.node].devices
    if slot.terms.kind is not Kind.FUNCTION:
        devices.give_back(slot.id, gone=slot.terms.kind is not Kind.LEASE)
        return
    devices.rest(slot.id)
    cluster.resting[slot.id] = slot
    cluster.wake(slot.since + cluster.warm_seconds, slot=slot.id)


def rise(
    cluster: Cluster, room: Room, terms: Terms, avoid: frozenset[str] = NOTHING, *, own: bool = False
) -> Slot | None:
    """The slot that a call of these terms gets back with its worker and its devices, if there is one; it is reserved
    then. The one last used is the warmest. `own`: only one that ran the same function last, so that the stages of a
    pipeline do not load their models into each other's workers while another device is free."""
    if not room.has_amounts(terms.needs):
        return None
    lane = lane_of(terms)
    for slot in reversed(cluster.resting.values()):
        if slot.node != room.node.name or slot.id in cluster.leaving or lane_of(slot.terms) != lane:
            continue
        if own and work(slot.terms.target) != work(terms.target):
            continue
        if avoid.isdisjoint(slot.devices) and room.devices.rise(slot.id, terms.needs):
            del cluster.resting[slot.id]
            slot.terms = terms
            cluster.slots[slot.id] = cluster.hungry[slot.id] = room.slots[slot.id] = slot
            room.seize(terms.needs)
            return slot
    return None


def evict(draft: Draft, name: str) -> None:
    """Ask once for the end of a resting slot's worker."""
    if name in draft.cluster.resting and name not in draft.cluster.leaving:
        draft.cluster.leaving.add(name)
        draft.evictions.append(Evict(name))


def evict_from(draft: Draft, room: Room, uuid: str) -> None:
    """The device is offered to nobody any more: what only rests there goes."""
    for tenant in room.devices.tenants(uuid):
        evict(draft, tenant)


def tire(draft: Draft, slot: Slot) -> None:
    """A timer has fired: a slot that has rested for long enough goes."""
    if slot.since + draft.cluster.warm_seconds <= draft.now:
        evict(draft, slot.id)


def gone(cluster: Cluster, name: str) -> None:
    """The worker of a slot has ended. Of a slot that is in use again, or unknown, that changes nothing."""
    slot = cluster.resting.pop(name, None)
    cluster.leaving.discard(name)
    if slot is not None:
        cluster.rooms[slot.node].devices.give_back(name, gone=True)


def rest_again(cluster: Cluster, slot: Slot) -> None:
    """Everything derived is built anew; the slot's worker is warm still."""
    slot.attempts.clear()
    slot.expected = 0.0
    slot.watched = False
    cluster.rooms[slot.node].devices.seize(slot.id, slot.terms.needs, slot.devices)
    vacate(cluster, slot)
