"""How much of what is free is of no use: the share that a job drawn from the trace could not take where it lies.

Source of the measure: Q. Weng et al., "Beware of Fragmentation", USENIX ATC 2023. Here: the part of the free devices
(of the free CPUs, where no job asks for devices) on nodes on which a job of the trace, drawn by how often its needs
occur, finds no room.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.slots import Room
from mcp_scheduler.core.task import Needs
from mcp_scheduler.simulation.trace import Trace

_SHAPES: Final = 32  # the most frequent needs stand for all
_LOOKS: Final = 32  # spread over the arrivals


class Fragmentation:
    """Looks at the cluster now and then; `seen` has what it saw, 0..1."""

    def __init__(self, trace: Trace) -> None:
        self.seen: list[float] = []
        self._has_devices = any(job.needs.has_devices for job in trace.jobs)
        asked = (job.needs for job in trace.jobs if job.needs.has_devices == self._has_devices)
        self._shapes = Counter(asked).most_common(_SHAPES)
        self._every = max(1, len(trace.jobs) // _LOOKS)
        self._next = self._every

    def look(self, cluster: Cluster, arrived: int) -> None:
        """So many jobs have arrived."""
        if arrived < self._next:
            return
        self._next += self._every
        free = {name: self._free(room) for name, room in cluster.rooms.items()}
        total = sum(free.values())
        if total > 0:
            lost = sum(count * self._lost(cluster, needs, free) for needs, count in self._shapes)
            self.seen.append(lost / total / sum(count for _, count in self._shapes))

    def _lost(self, cluster: Cluster, needs: Needs, free: dict[str, float]) -> float:
        return sum(amount for name, amount in free.items() if amount and not cluster.rooms[name].fits(needs))

    def _free(self, room: Room) -> float:
        if not self._has_devices:
            return float(room.free.get("cpus", 0))
        return sum(
            1.0 if state.is_open_whole else max(0, state.open_bytes) / (state.seen.total or 1)
            for state in room.devices.ordered
        )
