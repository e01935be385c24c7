"""What the core does not know and a watcher for the unusual wants to hear: progress, and what others use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mcp_scheduler.core.changes import Changes
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.node import LOCAL
from mcp_scheduler.forecast.anomalies import Anomalies
from mcp_scheduler.ports import Clock, Progress

_RESERVED: Final = {"cpu": "cpus", "memory": "memory"}  # a load → the resource that tasks reserve


class Noticing:
    """Carries events of the runtime to the anomalies."""

    def __init__(self, cluster: Cluster, anomalies: Anomalies, clock: Clock) -> None:
        self._cluster = cluster
        self._anomalies = anomalies
        self._clock = clock

    def committed(self, changes: Changes) -> None:
        """Attempts have ended: their progress is of the past."""
        for ended in changes.ended:
            self._anomalies.over(ended.attempt.task)

    def progressed(self, progress: Progress) -> None:
        self._anomalies.progressed(progress.attempt.task, progress.fraction, progress.text, self._clock.now())

    def loaded(self, load: Mapping[str, float]) -> None:
        """A look at the host: what is in use beyond what tasks have reserved is somebody else's."""
        room = self._cluster.rooms[LOCAL]
        for name, resource in _RESERVED.items():
            total = room.total.get(resource, 0)
            if name in load and total:
                reserved = 100.0 * (total - room.free.get(resource, 0)) / total
                self._anomalies.others(LOCAL, name, max(0.0, load[name] - reserved), self._clock.now())
