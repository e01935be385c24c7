"""Whether recurring tasks keep their periods: the utilisation bound of Liu and Layland (1973) for rate monotonic order.

n tasks on one processor all meet their periods if the sum of (run time / period) is at most n · (2^(1/n) - 1), which
falls from 1 to ln 2 = 0.693. Here nothing is taken away from what runs, so a task may wait for a longer one that has
just begun: that wait counts as work of its own, once a period. With several places the load is that of one of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from mcp_scheduler.core.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Utilisation:
    """`load`: of one place, the wait for what cannot be interrupted included; `bound`: up to which load all periods are
    kept; `count`: recurring tasks; `unknown`: those of which nobody knows how long they take."""

    load: float
    bound: float
    count: int
    unknown: int

    @property
    def is_kept(self) -> bool:
        return self.load <= self.bound


def bound(count: int) -> float:
    """n · (2^(1/n) - 1)."""
    return count * (2.0 ** (1.0 / count) - 1.0) if count else 1.0


def utilisation(cluster: Cluster) -> Utilisation:
    """Of all open tasks that recur, by the upper bounds of what they take."""
    load, longest, shortest_period, unknown = 0.0, 0.0, float("inf"), 0
    for task in cluster.recurring:
        expected = cluster.expected(task)
        if expected is None:
            unknown += 1
            continue
        load += expected.upper * cluster.floor.share(task.terms.needs) / task.extras.every
        longest = max(longest, expected.upper)
        shortest_period = min(shortest_period, task.extras.every)
    count = len(cluster.recurring)
    if count > 1:
        load += longest * _least_share(cluster) / shortest_period
    return Utilisation(load, bound(count), count, unknown)


def _least_share(cluster: Cluster) -> float:
    return min((cluster.floor.share(task.terms.needs) for task in cluster.recurring), default=1.0)


def told(found: Utilisation) -> str:
    """What to say when a task that recurs is submitted; "" if all periods are kept."""
    if found.is_kept:
        return ""
    return (
        f"{found.count} recurring tasks load this cluster to {found.load:.2f}; only up to {found.bound:.2f} is it"
        " certain that each keeps its period. Give longer periods, or less work to each run."
    )
