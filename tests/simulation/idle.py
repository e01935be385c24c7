"""Nobody waits beside a node that has nothing to do and could take him."""

from __future__ import annotations

from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.slots import Room
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Needs, Task


def check_idle(cluster: Cluster, now: float) -> None:
    """To be called after a turn that could look at everybody who waits."""
    if cluster.paused or cluster.coming.tasks or cluster.slices.still:
        return
    idle = [room for room in cluster.rooms.values() if _has_nothing_to_do(cluster, room)]
    for task in cluster.tasks.values() if idle else ():
        if task.status.state is not State.QUEUED or task in cluster.conflicts.blocked:
            continue
        room = next((room for room in idle if room.fits(task.terms.needs)), None)
        assert room is None or _waits_for_its_place(task, cluster, now), f"{task.id} waits, and {room} is idle."


def _has_nothing_to_do(cluster: Cluster, room: Room) -> bool:
    return not room.slots and not room.devices.held and not room.is_closed


def _waits_for_its_place(task: Task, cluster: Cluster, now: float) -> bool:
    """A plan wants it elsewhere, for a while yet, and that place is there and large enough."""
    pin = task.extras.pin
    if not pin or now >= task.status.at + task.extras.pin_for:
        return False
    room = cluster.rooms.get(pin[0])
    return room is not None and not room.is_closed and _could_take(room, task.terms.needs, pin[1])


def _could_take(room: Room, needs: Needs, label: str) -> bool:
    if any(room.total.get(name, 0) < amount for name, amount in needs.amounts):
        return False
    well = [
        state
        for state in room.devices.states.values()
        if state.seen.healthy and not state.withheld and label in ("", state.seen.label)
    ]
    return not needs.has_devices or len(well) >= max(1, needs.gpus)
