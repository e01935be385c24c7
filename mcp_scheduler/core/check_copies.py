"""The rules of copies, restated: how many there may be, who of them goes, and what is known of them."""

from __future__ import annotations

from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.copies import most
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Task


def copies_broken(cluster: Cluster) -> list[str]:
    """What does not hold of tasks that may have copies."""
    found: dict[str, dict[AttemptId, None]] = {}
    for attempt in cluster.attempts:
        if cluster.tasks[attempt.task].extras.has_copies:
            found.setdefault(attempt.task, {})[attempt] = None
    broken = [] if found == cluster.copies.living else [f"{cluster.copies.living} are the copies, not {found}."]
    for name, several in found.items():
        broken += [*_of_task(cluster, cluster.tasks[name], [*several]), *_places(cluster, [*several])]
    for name in cluster.copies.wanted:
        task = cluster.tasks[name]
        has_some = name in found and task.status.state is State.RUNNING
        if not has_some or len(found[name]) >= most(task) or task.status.reason is not None:
            broken.append(f"{name} is {task.status.state} with {found.get(name)}, and wants a copy.")
    return broken


def _of_task(cluster: Cluster, task: Task, several: list[AttemptId]) -> list[str]:
    """No more than were asked for; and where one has won, the others are being stopped."""
    broken: list[str] = []
    status = task.status
    if len(several) > most(task):
        broken.append(f"{task.id} has the copies {several}; {most(task)} were asked for.")
    if max(one.number for one in several) > status.number:
        broken.append(f"{task.id} has the copies {several}, and is at number {status.number}.")
    if status.state not in (State.RUNNING, State.SUCCEEDED):
        broken.append(f"{task.id} is {status.state}, and {several} are alive.")
    if status.state is State.SUCCEEDED and not cluster.stopping.issuperset(several):
        broken.append(f"{task.id} has succeeded, and nobody stops all of {several}.")
    return broken


def _places(cluster: Cluster, several: list[AttemptId]) -> list[str]:
    """Each has a slot, and devices, of its own."""
    slots = [cluster.slots[cluster.slot_of[one]] for one in several]
    devices = [uuid for slot in slots for uuid in slot.devices]
    if len({slot.id for slot in slots}) == len(slots) and len(set(devices)) == len(devices):
        return []
    return [f"{several} share a place: {[(slot.id, slot.devices) for slot in slots]}."]
