"""Places that fail again and again are withheld for a while, and then tried with one task: see `breakers`.

A device is withheld as a drained one is, a node by the guard of its room. A node that has no other beside it for the
work in question is never shut, only told of: waiting would help nobody.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from mcp_scheduler.core import warm
from mcp_scheduler.core.breakers import Breaker, Place, Trust
from mcp_scheduler.core.slots import Guard, Room, Slot
from mcp_scheduler.core.states import Reason
from mcp_scheduler.core.task import Kind, Needs, Task

if TYPE_CHECKING:
    from mcp_scheduler.core.cluster import Cluster
    from mcp_scheduler.core.draft import Draft

CAUSE: Final = "quarantine"  # under which devices are withheld
_BLAMED: Final = frozenset({Reason.LOST, Reason.CRASHED})
_CLEARED: Final = frozenset({None, Reason.ERROR})  # the call came to an end of its own: the place has done its part
_CHOICE: Final = 2


def ended(draft: Draft, task: Task, slot: Slot, began: float, reason: Reason | None) -> None:
    """What the end of an attempt says about the place where it ran. Of one on devices the devices are blamed, not the
    node; one that did well clears both. What was stopped says nothing."""
    breakers = draft.cluster.breakers
    if not breakers.after or task.terms.kind is Kind.LEASE:
        return
    if reason in _BLAMED:
        for place in _devices(slot) or [(slot.node, "")]:
            breaker = breakers.failed(place, task.terms.target, began, draft.now)
            if breaker is not None:
                _shut(draft, place, breaker, task.terms.needs)
    elif reason in _CLEARED and breakers.known:
        for place in (*_devices(slot), (slot.node, "")):
            if breakers.did_well(place, task.terms.target, draft.now):
                _loosen(draft.cluster, place, Guard.NONE)


def began(draft: Draft, slot: Slot) -> None:
    """Something was started in this slot."""
    for place in (*_devices(slot), (slot.node, "")):
        draft.cluster.breakers.began(place, draft.now)


def rescue(draft: Draft, room: Room) -> None:
    """What runs on a device that is gone or broken will not come to an end: it is lost, and where it may be repeated it
    runs elsewhere."""
    for tenant, _, _ in room.devices.stranded():
        slot = draft.cluster.slots.get(tenant)
        if slot is None:
            warm.evict(draft, tenant)
            continue
        for attempt in slot.attempts:
            if slot.terms.kind is not Kind.LEASE:
                draft.stop(attempt, Reason.LOST)


def go_on(cluster: Cluster, now: float) -> None:
    """The breakers of the last engine were taken up: withhold again what they withhold, before anything is placed. Of
    nodes, only those that are here, and have others beside them."""
    breakers = cluster.breakers
    for place, breaker in list(breakers.known.items()):
        node, device = place
        if node not in cluster.rooms:
            breakers.forget(place)
        elif breaker.trust is Trust.TRUSTED:
            continue
        elif not device and len(cluster.rooms) == 1:
            breakers.open(place, now)
        elif breaker.trust is Trust.SHUT:
            _withhold(cluster.rooms[node], device, breaker)
        else:
            _loosen(cluster, place, Guard.ONE)


def look(draft: Draft) -> None:
    """Where the time of a place is over, one task may try it; where the probe has gone on for long, it is well."""
    cluster = draft.cluster
    for place in cluster.breakers.due(draft.now):
        if cluster.breakers.trust(place) is Trust.SHUT:
            cluster.breakers.try_again(place)
            _loosen(cluster, place, Guard.ONE)
        elif _is_in_use(cluster, place):
            cluster.breakers.open(place, draft.now)
            _loosen(cluster, place, Guard.NONE)
        else:
            cluster.breakers.try_again(place)


def lift(cluster: Cluster, node: str, device: str, now: float) -> None:
    """A person says that the place is well."""
    place = (node, device)
    if cluster.breakers.trust(place) is not Trust.TRUSTED:
        cluster.breakers.open(place, now)
        _loosen(cluster, place, Guard.NONE)
    cluster.breakers.forget(place)


def admits_refill(cluster: Cluster, slot: Slot) -> bool:
    """Whether another call may follow in this slot: not on probation, where one task decides."""
    return all(cluster.breakers.trust(place) is Trust.TRUSTED for place in (*_devices(slot), (slot.node, "")))


def _shut(draft: Draft, place: Place, breaker: Breaker, needs: Needs) -> None:
    cluster = draft.cluster
    node, device = place
    room = cluster.rooms[node]
    blamed = ", ".join(f"{count} of {target}" for target, count in Counter(breaker.targets).items())
    attempts = "attempt" if len(breaker.targets) == 1 else f"{len(breaker.targets)} attempts"
    breaker.why = f"the last {attempts} ended without a result ({blamed})"
    if not device and _is_lone(cluster, room, needs):
        if breaker.trust is Trust.PROBATION:
            cluster.breakers.open(place, draft.now)
            _loosen(cluster, place, Guard.NONE)
        breaker.lone = True
        return
    cluster.breakers.shut(place, draft.now)
    _withhold(room, device, breaker)
    if device:
        warm.evict_from(draft, room, device)


def _withhold(room: Room, device: str, breaker: Breaker) -> None:
    if device:
        room.devices.set_probation(device, on=False)
        room.devices.withhold(device, CAUSE, f"in quarantine: {breaker.why}")
    else:
        room.guard = Guard.SHUT
        room.changed()


def _loosen(cluster: Cluster, place: Place, guard: Guard) -> None:
    """The place is used again: by one task at a time (`ONE`), or as ever (`NONE`)."""
    node, device = place
    room = cluster.rooms[node]
    if device:
        room.devices.release(device, CAUSE)
        room.devices.set_probation(device, on=guard is Guard.ONE)
    else:
        room.guard = guard
        room.changed()


def _is_lone(cluster: Cluster, room: Room, needs: Needs) -> bool:
    others = cluster.floor.largest(needs, _CHOICE)
    return not any(other is not room and other.guard is Guard.NONE for other in others)


def _is_in_use(cluster: Cluster, place: Place) -> bool:
    """Whether what was started there on probation still runs."""
    node, device = place
    room = cluster.rooms[node]
    return any(not device or device in slot.devices for slot in room.slots.values())


def _devices(slot: Slot) -> list[Place]:
    return [(slot.node, uuid) for uuid in slot.devices]
