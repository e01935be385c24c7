"""Placement: in rank order, each head gets a reservation, or a place behind short calls of its kind, or waits.

What a blocked head lacks is kept for it: nothing of a lower rank may take it, so a large task is not starved by small
ones. The policy proposes the order; `Room.take` verifies: a bad policy can waste capacity, never overbook it.
"""

from __future__ import annotations

from typing import Final

from mcp_scheduler.core import warm
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.draft import Draft
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.ready import Crowd
from mcp_scheduler.core.slots import DEVICES, NOTHING_KEPT, PATIENCE, WINDOW_SECONDS, Kept, Room, Slot
from mcp_scheduler.core.task import Needs, Task, Terms

ROUND: Final = 1000  # different needs that find no room; a round looks at no more


def place(draft: Draft) -> None:
    """Start what can start now."""
    cluster = draft.cluster
    if cluster.paused:
        return
    ready = cluster.ready
    parked: list[tuple[float, int, Crowd]] = []
    held: dict[str, Kept] = {}
    while len(parked) < ROUND:
        if not cluster.hungry and not _has_free(cluster, held, ready.least_cpus):
            break
        task = ready.best()
        if task is None:
            break
        if not _start(draft, task, held):
            _hold_back(draft, task, held)
            parked.append(ready.park())
            if not _has_free(cluster, held, ready.least_cpus):
                break  # whatever comes next is of a lower rank and finds nothing
    ready.unpark(parked)
    cluster.hungry.clear()


def _start(draft: Draft, task: Task, held: dict[str, Kept]) -> bool:
    """A place of its own first, best with a warm worker on its devices; a place in a window only where there is none,
    so that no free place stays empty."""
    cluster = draft.cluster
    terms = task.terms
    expected = cluster.estimates.seconds(terms.target)
    for room in cluster.rooms.values():
        kept = held.get(room.node.name, NOTHING_KEPT)
        slot = warm.rise(cluster, room, terms, kept) if terms.needs.has_devices else None
        if slot is None and room.fits(terms.needs, kept):
            slot = _open_slot(draft, task, room, kept)
        if slot is not None:
            cluster.ready.take()
            draft.start(task, slot, expected if expected is not None else WINDOW_SECONDS)
            return True
    if expected is None:
        return False
    slot = _shortest(cluster, terms, expected, held)
    if slot is None:
        return False
    cluster.ready.take()
    draft.start(task, slot, expected)
    if not slot.watched:
        slot.watched = True
        cluster.wake(draft.now + PATIENCE, slot=slot.id)
    return True


def _shortest(cluster: Cluster, terms: Terms, expected: float, held: dict[str, Kept]) -> Slot | None:
    """The slot with the least work before it, of those that may take a call of these terms. None of those is filled
    up again that hold what a better-ranked task waits for."""
    found: Slot | None = None
    for slot in cluster.hungry.values():
        if (found is None or slot.expected < found.expected) and slot.takes(terms, expected):
            kept = held.get(slot.node)
            if kept is None or not kept.touches(slot):
                found = slot
    return found


def _open_slot(draft: Draft, task: Task, room: Room, kept: Kept) -> Slot:
    cluster = draft.cluster
    name = str(AttemptId(task.id, draft.status(task).number + 1))
    devices = room.take(name, task.terms.needs, kept)
    slot = cluster.slots[name] = Slot(name, room.node.name, task.terms, devices)
    cluster.hungry[name] = slot
    return slot


def _hold_back(draft: Draft, task: Task, held: dict[str, Kept]) -> None:
    """Keep what the blocked head lacks out of the hands of those behind it, on every node that could ever run it.

    What it has once found short stays kept while it waits: otherwise it could wait for one resource while another,
    free by now, is taken from it again, and so on for ever.
    """
    needs = task.terms.needs
    for room in draft.cluster.rooms.values():
        if room.could_ever_fit(needs):
            lacked = draft.cluster.lacked.setdefault(task.id, set())
            lacked.update(room.missing(needs))
            kept = held.setdefault(room.node.name, Kept())
            if needs.has_devices:
                _hold_back_devices(draft, room, needs, kept, is_short=DEVICES in lacked)
            for name, amount in needs.amounts:
                if name in lacked:
                    kept.amounts[name] = kept.amounts.get(name, 0) + amount


def _hold_back_devices(draft: Draft, room: Room, needs: Needs, kept: Kept, *, is_short: bool) -> None:
    """Where only warm workers are in the way, they go; otherwise devices are kept."""
    if room.has_amounts(needs, kept):
        for tenant in room.devices.to_evict(needs, kept.devices):
            warm.evict(draft, tenant)
    if is_short:
        kept.devices |= room.devices.to_keep(needs, kept.devices)


def _has_free(cluster: Cluster, held: dict[str, Kept], least_cpus: int) -> bool:
    """Whether any node could take even the smallest task that waits."""
    for name, room in cluster.rooms.items():
        kept = held.get(name)
        if room.free.get("cpus", 0) - (kept.amounts.get("cpus", 0) if kept else 0) >= least_cpus:
            return True
    return False
