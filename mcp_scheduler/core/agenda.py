"""Who waits with a deadline, in the order of the deadlines, and whom one task more would make late.

Up to `ONE_BY_ONE` of them are looked at one by one. Where there are more, those in queues are told by their queues: a
few pieces of equal tasks, whose deadlines lie evenly between the first and the last of the queue. So the cost is
bounded, however many wait.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.estimates import Expected
from mcp_scheduler.core.queues import Queue
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import MILLI, Needs, Task
from mcp_scheduler.core.times import CHANCE, Time, lognormal

ONE_BY_ONE: Final = 200
QUEUES: Final = 250  # that are looked at, where there are more
PIECES: Final = 4  # of a queue
_WORST: Final = 2.0


class Due(NamedTuple):
    """A task that waits, or `size` that are alike, `task` among them. `own`: what one takes, in seconds; `work`: what
    all of them take of the whole cluster; `loss`: `g` in `admission`, for their needs."""

    deadline: float
    seq: int
    task: Task
    size: int
    own: Time
    work: Time
    loss: float


class Late(NamedTuple):
    """Tasks that would be made late: how many, the first of them, and the last of their deadlines."""

    size: int
    first: Task
    until: float


class Agenda:
    """All others than `task` that wait, and could still meet their deadlines if they were alone: who cannot is not put
    before anybody for it."""

    def __init__(self, cluster: Cluster, task: Task, now: float) -> None:
        self._cluster = cluster
        self._task = task
        self._now = now
        self._times: dict[int, Time] = {}
        self._losses: dict[Needs, float] = {}
        found = self._each() if len(cluster.deadlines) <= ONE_BY_ONE else self._by_queues()
        in_time = (due for due in found if now + due.own.within(CHANCE) <= due.deadline)
        self.line = sorted(in_time, key=lambda due: due[:2])

    def _each(self) -> Iterator[Due]:
        for other in self._cluster.deadlines:
            if other is self._task or other.status.state is State.RUNNING:
                continue
            queue, needs = other.queue, other.terms.needs
            if isinstance(queue, Queue):
                own, share = self._time(queue), queue.kind.share
            else:
                own = time_of(self._cluster, self._cluster.expected(other))
                share = self._cluster.floor.share(needs)
            yield Due(other.deadline or 0.0, other.seq, other, 1, own, own.times(share), self._loss(needs))

    def _by_queues(self) -> Iterator[Due]:
        queues = (queue for queue in self._cluster.ready.queues() if queue.has_deadlines)
        for queue in islice(queues, QUEUES):
            first = queue.first()
            size = queue.size - (queue is self._task.queue)
            if first is None or not size:
                continue
            begin, seq, task = first
            end = max(begin, queue.line[-1][0]) if queue.line else begin
            own, loss = self._time(queue), self._loss(task.terms.needs)
            pieces = min(size, PIECES)
            for piece in range(pieces):
                count = size * (piece + 1) // pieces - size * piece // pieces
                at = begin + (end - begin) * (piece + 1) / pieces
                yield Due(at, seq, task, count, own, own.times(queue.kind.share).of(count), loss)

    def _time(self, queue: Queue) -> Time:
        found = self._times.get(id(queue))
        if found is None:
            found = self._times[id(queue)] = time_of(self._cluster, queue.kind.expected)
        return found

    def _loss(self, needs: Needs) -> float:
        found = self._losses.get(needs)
        if found is None:
            found = self._losses[needs] = loss(self._cluster, needs)
        return found


def time_of(cluster: Cluster, expected: Expected | None) -> Time:
    """What a task takes; where nothing is known, what calls take."""
    return Time(cluster.pace.seconds) if expected is None else lognormal(expected)


def loss(cluster: Cluster, needs: Needs) -> float:
    """How much longer than its seconds the work before a task of these needs may take: `g` in `admission`."""
    share = cluster.floor.share(needs)
    totals = cluster.floor.totals
    whole = totals.get("gpus", 0) if needs.gpus and not needs.gpu_memory else 0
    pieces = [1.0 / whole] if whole else []
    if totals.get("cpus"):
        pieces.append(MILLI / totals["cpus"])
    return min(_WORST, 1.0 / (1.0 - share + min(share, max(pieces, default=0.0))))


def made_late(line: Sequence[Due], before: Time, more: Time, now: float) -> Late | None:
    """Who of these, with so much work `before` the first of them, is in time as things are, and would be late with so
    much `more` before it."""
    late: list[Due] = []
    for due in line:
        as_it_is = now + before.times(due.loss).plus(due.own).within(CHANCE)
        if as_it_is <= due.deadline < now + before.plus(more).times(due.loss).plus(due.own).within(CHANCE):
            late.append(due)
        before = before.plus(due.work)
    if not late:
        return None
    return Late(sum(due.size for due in late), late[0].task, late[-1].deadline)
