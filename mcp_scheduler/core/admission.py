"""Whether a deadline can be met, by the forecasts: what has to be done before, and what is free to do it.

Work is counted in seconds of the whole cluster: times a task's share of the scarcest resource. Of what goes first the
medians add up, and what it may take beyond them adds up in squares: not all of it is slow at once. A task can be done
by its deadline if it is short enough by itself, by its upper bound, and if all that goes before it fits into the time
until then. That is a bound for work that can be cut into pieces; where tasks are large it promises a little too much.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import sqrt

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
    before = _together([*_running(cluster, now), *_queued(cluster, task)])
    if expected is None:
        return Admission(None, before, None, is_met=start + before < task.deadline)
    done_by = max(start, now + before) + expected.upper
    return Admission(expected.upper, before, done_by, is_met=done_by <= task.deadline)


Work = tuple[int, float, float]  # how many, the seconds of the cluster that each takes, and those it may take beyond


def _running(cluster: Cluster, now: float) -> Iterator[Work]:
    """What runs cannot be taken away. What has outlived its median is taken to go on to its bound."""
    for slot in cluster.slots.values():
        upper = max(0.0, slot.ends_by(now) - now)
        head = cluster.tasks.get(next(iter(slot.attempts)).task) if slot.attempts else None
        expected = cluster.expected(head) if head is not None and len(slot.attempts) == 1 else None
        left = slot.since + expected.median - now if expected is not None else upper
        usual = min(left, upper) if left > 0 else upper
        yield 1, usual * slot.share, (upper - usual) * slot.share


def _queued(cluster: Cluster, task: Task) -> Iterator[Work]:
    """What waits and goes before: with a policy that looks at deadlines, those with an earlier one; else everything
    that is ranked before it now."""
    if cluster.policy.by_deadline:
        for other in cluster.deadlines:
            waits = other is not task and other.status.state is not State.RUNNING
            if waits and (other.deadline or 0.0, other.seq) < (task.deadline or 0.0, task.seq):
                yield _work(cluster, 1, cluster.expected(other), cluster.floor.share(other.terms.needs))
        return
    own = task.queue.head() if isinstance(task.queue, Queue) else None
    for queue in cluster.ready.queues():
        if own is None or ((head := queue.head()) is not None and head[:2] <= own[:2]):
            yield _work(cluster, queue.size, queue.kind.expected, queue.kind.share)


def _work(cluster: Cluster, count: int, expected: Expected | None, share: float) -> Work:
    pace = cluster.pace.seconds
    median, upper = (pace, pace) if expected is None else (expected.median, expected.upper)
    return count, median * share, (upper - median) * share


def _together(work: Iterable[Work]) -> float:
    usual = squares = 0.0
    for count, seconds, beyond in work:
        usual += count * seconds
        squares += count * beyond * beyond
    return usual + sqrt(squares)


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
