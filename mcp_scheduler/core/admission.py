"""Whether a deadline can be met, by the forecasts: what has to be done before, and what is free to do it.

Work is counted in seconds of the whole cluster: a task takes its upper bound times its share of the scarcest resource.
It can be done by its deadline if it is short enough by itself, and if all that goes before it fits into the time until
then. That is a bound for work that can be cut into pieces; where tasks are large it promises a little too much.
"""

from __future__ import annotations

from dataclasses import dataclass

from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.estimates import Expected
from mcp_scheduler.core.queues import Queue
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Task


@dataclass(frozen=True, slots=True)
class Admission:
    """`takes`: seconds, by the upper bound, None where nobody knows; `before`: seconds of the whole cluster that go
    first; `done_by`: when the task is done at the latest, by these; `is_met`: whether that is in time."""

    takes: float | None
    before: float
    done_by: float | None
    is_met: bool


def admission(cluster: Cluster, task: Task, now: float) -> Admission | None:
    """Of a task that waits and has a deadline; None for others."""
    if task.deadline is None or task.status.is_final or task.status.state is State.RUNNING:
        return None
    expected = cluster.expected(task)
    start = max(now, task.start_after)
    before = _running(cluster, now) + _queued(cluster, task)
    if expected is None:
        return Admission(None, before, None, is_met=start + before < task.deadline)
    done_by = max(start, now + before) + expected.upper
    return Admission(expected.upper, before, done_by, is_met=done_by <= task.deadline)


def _running(cluster: Cluster, now: float) -> float:
    """What runs cannot be taken away."""
    return sum(slot.share * max(0.0, slot.ends_by(now) - now) for slot in cluster.slots.values())


def _queued(cluster: Cluster, task: Task) -> float:
    """What waits and goes before: with a policy that looks at deadlines, those with an earlier one; else everything
    that is ranked before it now."""
    if cluster.policy.by_deadline:
        others = (
            other
            for other in cluster.deadlines
            if other is not task
            and other.status.state is not State.RUNNING
            and (other.deadline or 0.0, other.seq) < (task.deadline or 0.0, task.seq)
        )
        return sum(
            _upper(cluster, cluster.expected(other)) * cluster.floor.share(other.terms.needs) for other in others
        )
    own = task.queue.head() if isinstance(task.queue, Queue) else None
    return sum(
        queue.size * _upper(cluster, queue.kind.expected) * queue.kind.share
        for queue in cluster.ready.queues()
        if own is None or ((head := queue.head()) is not None and head[:2] <= own[:2])
    )


def _upper(cluster: Cluster, expected: Expected | None) -> float:
    return expected.upper if expected is not None else cluster.pace.seconds


def advice(found: Admission, task: Task, now: float) -> str:
    """What to tell who asked for it; "" if the deadline can be met."""
    if found.is_met or task.deadline is None:
        return ""
    left = task.deadline - now
    if found.takes is None or found.done_by is None:
        return (
            f"Its deadline in {left:.3g} s may not be met: {found.before:.3g} s of work go first."
            " Set a later deadline, or a higher priority."
        )
    if found.takes > left:
        return (
            f"Its deadline cannot be met: it takes up to {found.takes:.3g} s, and {left:.3g} s are left."
            f" A deadline of {found.done_by - now:.3g} s from now could be met, or a smaller piece of work."
        )
    return (
        f"Its deadline in {left:.3g} s cannot be met: {found.before:.3g} s of work go first, and it takes up to"
        f" {found.takes:.3g} s. {found.done_by - now:.3g} s from now could be met, or cancel what goes first."
    )
