"""Why a task stands where it stands: the terms of its rank, who goes before it, what it lacks, where it would run."""

from __future__ import annotations

from dataclasses import dataclass, field

from mcp_scheduler.core import pins
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.estimates import upper_of
from mcp_scheduler.core.queues import Queue
from mcp_scheduler.core.scoring import Score, score
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Task

NODES = 3  # that are shown
_TO_COME = frozenset({State.PENDING, State.QUEUED, State.SCHEDULED, State.RETRYING, State.HELD})


@dataclass(slots=True)
class Explanation:
    """Of one task, at one moment. `rank`: its terms by name. `before`: how many tasks stand in queues whose head goes
    before this one's. `claim`: (node, when it is expected to start there, from when on nothing passes it any more).
    `nodes`: what each that has room would cost it, the best first. `seconds`: the median and the upper bound of what
    it takes, None where nothing is known. `retries`: how many its function has left, and has at most; None for one that
    has not retried of late. `advance`: a place that is kept for one whose dependencies are about to end (node, from
    when on, when it is given up). `still`: since when its command stands still, None where it does not; `stood`: the
    seconds for which it has in all. `pin`: the node and the class of devices that a plan has chosen for one that has
    not started, whether that is free, and until when it waits for it (0 where it does not)."""

    policy: str
    rank: dict[str, str] = field(default_factory=dict[str, str])
    before: int | None = None
    claim: tuple[str, float, float] | None = None
    nodes: list[tuple[str, Score]] = field(default_factory=list[tuple[str, Score]])
    advance: tuple[str, float, float] | None = None
    seconds: tuple[float, float] | None = None
    still: float | None = None
    stood: float = 0.0
    ends: float | None = None
    retries: tuple[float, int] | None = None
    pin: tuple[str, str, bool, float] | None = None


def explain(cluster: Cluster, task: Task, now: float) -> Explanation:
    """What decides about this task now. It changes nothing."""
    told = Explanation(cluster.policy.name)
    expected = cluster.expected(task)
    if expected is not None:
        told.seconds = (expected.median, expected.upper)
    left = cluster.retry_budget.left((task.terms.principal, task.terms.target), now)
    if left is not None and task.terms.retry.max_attempts > 1:
        told.retries = (left, cluster.retry_budget.burst)
    if task.extras.pin and task.status.state in _TO_COME:
        told.pin = _pin(cluster, task)
    if task.status.state is State.QUEUED and isinstance(task.queue, Queue):
        _of_waiting(cluster, task, task.queue, now, told)
    elif task.status.state is State.PENDING:
        kept = cluster.coming.tasks.get(task)
        if kept is not None and kept.node:
            told.advance = (kept.node, kept.at, kept.until)
    elif task.status.state is State.RUNNING:
        attempt = cluster.attempt_of(task)
        if attempt is not None:
            upper = upper_of(expected, task.terms)
            told.still, told.stood = cluster.slices.told.get(attempt.id), cluster.slices.stood(attempt.id, now)
            told.ends = attempt.at + upper + told.stood if upper < float("inf") else None
    return told


def _pin(cluster: Cluster, task: Task) -> tuple[str, str, bool, float]:
    node, device = pins.called(cluster, task)
    room = cluster.rooms.get(node)
    is_free = room is not None and room.fits(task.terms.needs, pins.others(room, task))
    return node, device, is_free, pins.until(cluster, task, task.status.at)


def _of_waiting(cluster: Cluster, task: Task, queue: Queue, now: float, told: Explanation) -> None:
    ready = cluster.ready
    scene = ready.scene_at(now, cluster.pace.seconds)
    told.rank = cluster.policy.terms(queue.kind, task.status.at, task.deadline, scene)
    own = queue.head()
    told.before = sum(
        other.size for other in ready.queues() if other is not queue and own and (head := other.head()) and head < own
    )
    blocked = cluster.blocked.get(task.id)
    if blocked is not None and blocked.node:
        told.claim = (blocked.node, blocked.at, blocked.strict_at)
    needs = task.terms.needs
    rooms = [room for room in cluster.floor.largest(needs, NODES) if room.fits(needs)]
    told.nodes = sorted(
        ((room.node.name, score(cluster, room, task)) for room in rooms), key=lambda one: one[1].seconds
    )[:NODES]
