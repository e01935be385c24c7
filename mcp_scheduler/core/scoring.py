"""Which of the nodes that have room is the best for a task: the smallest number of seconds wins, every term of it told.

    (cold start + time that it takes there) · 100 / max(weight, 5)  +  what is left over

The weight of a node is 100 · (1 - (0.6 · cpu + 0.4 · latency)), see `load`: a busy node counts as a slow one. What is
left over keeps devices whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from mcp_scheduler.core.floor import spare
from mcp_scheduler.core.load import CPU
from mcp_scheduler.core.slots import Room, lane_of
from mcp_scheduler.core.task import Kind, Task

if TYPE_CHECKING:
    from mcp_scheduler.core.cluster import Cluster

LEAST_WEIGHT: Final = 5.0
COLD: Final = 0.5  # seconds until a worker without devices has loaded what it calls
COLD_ON_DEVICES: Final = 10.0
LEFT_OVER: Final = 0.05  # of the time that the task takes: what a node loses that is left with pieces
STRANDED: Final = 2.0  # the same, for free devices of a node whose CPUs are taken by work without devices


class Score(NamedTuple):
    """The terms for one node, in seconds, except for its `weight` (0 to 100)."""

    cold: float
    takes: float
    weight: float
    left_over: float

    @property
    def seconds(self) -> float:
        return (self.cold + self.takes) * 100.0 / max(self.weight, LEAST_WEIGHT) + self.left_over


def score(cluster: Cluster, room: Room, task: Task) -> Score:
    """What the node costs this task."""
    needs = task.terms.needs
    label = _label(room, task)
    expected = cluster.expected(task, label)
    takes = expected.median if expected is not None else cluster.pace.seconds
    left = LEFT_OVER * (_left_over(room, task) + _starved(room, task)) if needs.has_devices else STRANDED * spare(room)
    return Score(_cold(cluster, room, task), takes, weight(room, task), takes * left)


def weight(room: Room, task: Task | None = None) -> float:
    """The node's weight. For work without devices what is reserved counts as load already, before it is measured."""
    load = room.load
    total = room.total.get("cpus", 0)
    if task is not None and total and not task.terms.needs.has_devices:
        load = max(load, CPU * (1.0 - room.free.get("cpus", 0) / total))
    return 100.0 * (1.0 - load)


def _label(room: Room, task: Task) -> str:
    if not task.terms.needs.has_devices:
        return ""
    wish = task.terms.needs.device
    return next((state.seen.label for state in room.devices.ordered if state.seen.answers_to(wish)), "")


def _cold(cluster: Cluster, room: Room, task: Task) -> float:
    if task.terms.kind is not Kind.FUNCTION:
        return 0.0
    if not task.terms.needs.has_devices:
        return COLD
    lane = lane_of(task.terms)
    is_warm = any(slot.node == room.node.name and lane_of(slot.terms) == lane for slot in cluster.resting.values())
    return 0.0 if is_warm else COLD_ON_DEVICES


def _left_over(room: Room, task: Task) -> float:
    """The part of the node's devices, 0 to 1, that stays free in pieces when the task has its own."""
    states = room.devices.ordered
    needs = task.terms.needs
    whole = sum(state.is_open_whole for state in states)
    if not needs.gpu_memory:
        return (whole - needs.gpus) / max(1, len(states))
    size = needs.gpu_memory
    fitting = [state for state in states if state.open_bytes >= size]
    if not fitting:
        return 1.0
    best = min(fitting, key=lambda state: state.open_bytes)
    return (best.open_bytes - size) / max(1, best.seen.total or 1)


def _starved(room: Room, task: Task) -> float:
    """By how much more of the node's devices than of its CPUs is free when the task has its own: that is of no use to
    work that needs both."""
    total = room.total.get("cpus", 0)
    if not total:
        return 0.0
    states = room.devices.ordered
    needs = task.terms.needs
    cpus = next((amount for name, amount in needs.amounts if name == "cpus"), 0)
    size = needs.gpus if not needs.gpu_memory else needs.gpu_memory / max(1, states[0].seen.total or 1)
    return max(0.0, spare(room) - size / len(states) - (room.free.get("cpus", 0) - cpus) / total)
