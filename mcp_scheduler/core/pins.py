"""Pins: where a plan wants a task to run. A wish of the decision, never a right.

The planned place is tried first. If it is in use, the task waits for it, but no longer than the plan foresaw; then it
runs wherever there is room. It never waits for a place that could not take it: one that is gone, too small, drained or
not trusted. What others have reserved there stays theirs.

A pin names a node, and a class of its devices, or one of them where that makes a difference: see `service.question`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mcp_scheduler.core import warm
from mcp_scheduler.core.rounds import try_room
from mcp_scheduler.core.seen import GpuSeen
from mcp_scheduler.core.slots import NOTHING, Room, Slot
from mcp_scheduler.core.task import Task

if TYPE_CHECKING:
    from mcp_scheduler.core.claims import Claims
    from mcp_scheduler.core.cluster import Cluster
    from mcp_scheduler.core.draft import Draft

SLACK: Final = 0.25  # of the time that a task takes: for so long beyond the plan it waits for its place


def place(draft: Draft, task: Task, until: float, claims: Claims) -> Slot | None:
    """A slot in the planned place, for a task that ends by `until`; None if it is not free now, or is kept for somebody
    else."""
    room = draft.cluster.rooms.get(task.extras.pin[0])
    if room is None:
        return None
    slot, _ = try_room(draft, task, room, until, claims, others(room, task))
    return slot


def awaits(draft: Draft, task: Task, claims: Claims) -> bool:
    """Whether the task goes on waiting for its place: see `until`. Warm workers that only rest there go."""
    cluster = draft.cluster
    at = until(cluster, task, draft.status(task).at)
    if at <= draft.now:
        return False
    room, needs = cluster.rooms[task.extras.pin[0]], task.terms.needs
    if needs.has_devices and room.has_amounts(needs):
        kept = others(room, task) | claims.devices(room.node.name)
        for tenant in room.devices.to_evict(needs, kept):
            warm.evict(draft, tenant)
    cluster.look_again(at)
    return True


def until(cluster: Cluster, task: Task, queued_at: float) -> float:
    """Until when a task that was queued at that time waits for its planned place; at once (0) where that could not
    take it."""
    room = cluster.rooms.get(task.extras.pin[0])
    needs = task.terms.needs
    if room is None or room.is_closed or not room.could_ever_fit(needs):
        return 0.0
    if needs.has_devices:
        usable = [state for state in room.devices.usable(needs) if _is_planned(state.seen, task)]
        if len(usable) < max(1, needs.gpus):
            return 0.0
    return queued_at + task.extras.pin_for


def others(room: Room, task: Task) -> frozenset[str]:
    """The devices of the planned node that are not planned for it."""
    if not task.terms.needs.has_devices:
        return NOTHING
    return frozenset(state.seen.uuid for state in room.devices.states.values() if not _is_planned(state.seen, task))


def called(cluster: Cluster, task: Task) -> tuple[str, str]:
    """The planned place for people: a node, and a class of devices or the name of one; "" for any."""
    node, device = task.extras.pin
    room = cluster.rooms.get(node)
    state = room.devices.states.get(device) if room is not None else None
    return node, device if state is None else state.seen.short


def _is_planned(seen: GpuSeen, task: Task) -> bool:
    return task.extras.pin[1] in ("", seen.label, seen.uuid)
