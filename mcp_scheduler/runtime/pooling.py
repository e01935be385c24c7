"""How many of its CPUs this host offers now: more and fewer with what is asked for, where the settings name a least
size, and what is left by other programs that overload it, or soon will, where the policy is courteous."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mcp_scheduler.core.changes import Changes
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.events import PoolSized
from mcp_scheduler.core.node import LOCAL
from mcp_scheduler.core.policy import is_courteous
from mcp_scheduler.core.states import Reason
from mcp_scheduler.core.task import MILLI
from mcp_scheduler.forecast.courtesy import LONGEST, Courtesy
from mcp_scheduler.forecast.elastic import Elastic
from mcp_scheduler.ports import Clock


class Pooling:
    """Looks whenever the host's load is looked at, and tells the core when the size is another. Without `least_cpus`,
    and under a policy that is not courteous, all is offered. `soon`: the load that is expected."""

    def __init__(
        self,
        cluster: Cluster,
        least_cpus: float | None,
        report: Callable[[PoolSized], None],
        clock: Clock,
        soon: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        self._soon = soon
        self._cluster = cluster
        self._report = report
        self._clock = clock
        self._least = None if least_cpus is None else round(least_cpus * MILLI)
        self._elastic: Elastic | None = None  # from the first look on: the node is known then
        self._courtesy = Courtesy()

    def committed(self, changes: Changes) -> None:
        """Calls have ended, well or badly."""
        if self._elastic is not None:
            for ended in changes.ended:
                if ended.outcome.reason is not Reason.CANCELLED:
                    self._elastic.ended(bad=ended.outcome.reason is not None)

    def loaded(self, load: Mapping[str, float]) -> None:
        """A look at the host."""
        room = self._cluster.rooms[LOCAL]
        most, waiting = room.total.get("cpus", 0), self._waiting()
        offered, why = self._by_demand(most, load, waiting)
        left, told = self._beside_others(most, load, waiting)
        if left < most and (not offered or left < offered):
            offered, why = left, told
        if offered != room.limit:
            self._report(PoolSized(LOCAL, offered, why))

    def _by_demand(self, most: int, load: Mapping[str, float], waiting: float) -> tuple[int, str]:
        """What the pool has grown to, and why; 0 for one that does not grow."""
        if self._least is None:
            return 0, ""
        if self._elastic is None or self._elastic.most != most:
            self._elastic = Elastic(self._least, most)
        elastic, cpu = self._elastic, load.get("cpu", 0.0)
        offered = elastic.look(waiting, cpu)
        return offered, f"tasks waited {waiting:.1f} s, CPU {cpu:.0f} %, errors {elastic.errors:.0f} %"

    def _beside_others(self, most: int, load: Mapping[str, float], waiting: float) -> tuple[int, str]:
        """What other programs leave, and why that is not all."""
        if not is_courteous(self._cluster.policy) or not most:
            self._courtesy = Courtesy()
            return most, ""
        now, pressure = load.get("cpu", 0.0), load.get("cpu_pressure", 0.0)
        cpu = max(now, self._soon().get("cpu", 0.0))
        reserved = 100.0 * (most - self._cluster.rooms[LOCAL].free.get("cpus", 0)) / most
        left = self._courtesy.look(most, cpu, reserved, pressure, waiting)
        take = "will soon take" if cpu > now else "take"
        return left, (
            f"other programs {take} {self._courtesy.foreign:.0f} % of the CPUs, which are {now:.0f} % busy; who has"
            f" waited {LONGEST / 60:.0f} minutes starts all the same"
        )

    def _waiting(self) -> float:
        """Seconds for which the first in line has found no CPUs; few stand there at a time."""
        lacking = (one.since for one in self._cluster.blocked.values() if "cpus" in one.lacked)
        return max(0.0, self._clock.now() - min(lacking, default=self._clock.now()))
