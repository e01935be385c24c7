"""Orders by time: the earliest deadline first, and rate monotonic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mcp_scheduler.core.policy import CLASS_ZERO, Scene, Sharing, TaskClass

POINT: Final = 60.0  # seconds that a point of priority is worth among tasks without deadline or period


@dataclass(frozen=True, slots=True)
class EarliestDeadline:
    """Tasks with a deadline go first, the earliest first (optimal on one processor that can be taken away; not on
    several). One that cannot meet its deadline any more goes on with the others, so that it makes nobody else late."""

    name: str = "edf"
    ages: bool = True  # a deadline that can be met becomes one that cannot
    by_graph: bool = False
    by_deadline: bool = True
    sharing: Sharing = Sharing.NONE

    def rank(self, kind: TaskClass, since: float, deadline: float | None, scene: Scene) -> float:
        median = kind.expected.median if kind.expected is not None else 0.0
        if deadline is not None and scene.now + median <= deadline:
            return CLASS_ZERO + deadline
        return since - kind.priority * POINT

    def terms(self, kind: TaskClass, since: float, deadline: float | None, scene: Scene) -> dict[str, str]:
        told = {"waits": f"{max(0.0, scene.now - since):.0f} s"}
        if deadline is None:
            return told | {"deadline": "none, so it goes after those that have one"}
        is_first = self.rank(kind, since, deadline, scene) < 0
        return told | {
            "deadline": f"in {deadline - scene.now:.0f} s{'' if is_first else ', which it cannot meet any more'}"
        }


EDF = EarliestDeadline()


@dataclass(frozen=True, slots=True)
class RateMonotonic:
    """Recurring tasks go first, the shortest period first; the others by priority. The best of all fixed orders for
    tasks that recur on one processor; see `core.rates` for the load up to which all periods are kept."""

    name: str = "rate_monotonic"
    ages: bool = False
    by_graph: bool = False
    by_deadline: bool = False
    sharing: Sharing = Sharing.NONE

    def rank(self, kind: TaskClass, since: float, _deadline: float | None, _scene: Scene) -> float:
        return CLASS_ZERO + kind.period if kind.period else since - kind.priority * POINT

    def terms(self, kind: TaskClass, since: float, _deadline: float | None, scene: Scene) -> dict[str, str]:
        if kind.period:
            return {"period": f"{kind.period:.3g} s: before all with a longer one, and all without"}
        return {"waits": f"{max(0.0, scene.now - since):.0f} s", "period": "none, so it goes after those that recur"}


RATE_MONOTONIC = RateMonotonic()
