"""The pool of this host grows and shrinks with what it is asked for, where the settings name a least size."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mcp_scheduler.core.changes import Changes
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.events import PoolSized
from mcp_scheduler.core.node import LOCAL
from mcp_scheduler.core.states import Reason
from mcp_scheduler.core.task import MILLI
from mcp_scheduler.forecast.elastic import Elastic
from mcp_scheduler.ports import Clock


class Pooling:
    """Looks whenever the host's load is looked at, and tells the core when the size is another."""

    def __init__(self, cluster: Cluster, least_cpus: float, report: Callable[[PoolSized], None], clock: Clock) -> None:
        self._cluster = cluster
        self._report = report
        self._clock = clock
        self._least = round(least_cpus * MILLI)
        self._elastic: Elastic | None = None  # from the first look on: the node is known then

    def committed(self, changes: Changes) -> None:
        """Calls have ended, well or badly."""
        if self._elastic is not None:
            for ended in changes.ended:
                if ended.outcome.reason is not Reason.CANCELLED:
                    self._elastic.ended(bad=ended.outcome.reason is not None)

    def loaded(self, load: Mapping[str, float]) -> None:
        """A look at the host."""
        most = self._cluster.rooms[LOCAL].total.get("cpus", 0)
        if self._elastic is None or self._elastic.most != most:
            self._elastic = Elastic(self._least, most)
        elastic = self._elastic
        waiting, cpu = self._waiting(), load.get("cpu", 0.0)
        offered = elastic.look(waiting, cpu)
        if offered != self._cluster.rooms[LOCAL].limit:
            self._report(
                PoolSized(
                    LOCAL, offered, f"tasks waited {waiting:.1f} s, CPU {cpu:.0f} %, errors {elastic.errors:.0f} %"
                )
            )

    def _waiting(self) -> float:
        """Seconds for which the first in line has found no CPUs; few stand there at a time."""
        lacking = (one.since for one in self._cluster.blocked.values() if "cpus" in one.lacked)
        return max(0.0, self._clock.now() - min(lacking, default=self._clock.now()))
