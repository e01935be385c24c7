"""Whether a deadline can be met, by the forecasts: what has to be done before, and what is free to do it.

The time from now until a task is done is a sum of random times,

    T = g · (w1·t1 + w2·t2 + ...) + t,    g = min(2, 1 / (1 - w + u))

`t` is its own and `ti` those of the tasks that run or go before it, each times its dominant share `wi` of the cluster:
so work counts in seconds of the whole cluster. A forecast gives the median and the bound of 9 in 10; between them a
time is taken as lognormal, and so is the sum, with the mean and the variance that the terms have together (L. F.
Fenton, "The sum of log-normal probability distributions in scatter transmission systems", IRE Transactions on
Communications Systems 8, 1960). As not all of them are slow at once, this is far less than the sum of the bounds.

`g` is for tasks that are wide. While a task of share `w` waits, less than `w` is free, or it would have room: at least
1 - w + u of the cluster is in use, where `u` is the smallest piece that there is (a CPU, or a GPU). So the work before
it is done in `g` times its seconds at most, and for a task of one CPU in just these; no list does worse than twice (M.
R. Garey and R. L. Graham, "Bounds for multiprocessor scheduling with resource constraints", SIAM Journal on Computing
4, 1975).

A task is admitted if it is done in time with the chance `CHANCE`, and if, where the earliest deadline goes first, no
other that was in time by the same measure is late through it. That is for the tightest deadline that is admitted;
most leave more time, so far fewer of all that are admitted are late. It is chosen for about 5 % of them at the worst:
with the load above the capacity and wide tasks among narrow ones (benchmarks/promises.py).

A task that names a thing which another one uses waits for that one beside all this: whichever takes longer counts. Of
the line before it only the first is looked at, so with several there it may be later than is said.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from mcp_scheduler.core.agenda import Agenda, Late, loss, made_late, time_of
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.conflicts import Obstacle
from mcp_scheduler.core.queues import Queue
from mcp_scheduler.core.slots import Slot
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Kind, Task
from mcp_scheduler.core.times import CHANCE, SURE, Time, rest, total


class Held(NamedTuple):
    """Who uses a thing that a task waits for, and how long it may go on."""

    by: Obstacle
    time: Time


@dataclass(frozen=True, slots=True)
class Admission:
    """`takes`: seconds, by the upper bound, None where nobody knows; `before`: seconds of the whole cluster that go
    first, on the mean; `done_by`: when the task is done in 9 cases of 10, None where nobody knows; `is_met`: whether
    that is in time with the chance `CHANCE`; `late`: those who would be late through it; `held`: who uses what it
    names, where that keeps it longer than the work before it."""

    takes: float | None
    before: float
    done_by: float | None
    is_met: bool
    late: Late | None = None
    held: Held | None = None

    @property
    def is_admitted(self) -> bool:
        """Whether it is in time, and everybody else as before."""
        return self.is_met and self.late is None


def admission(cluster: Cluster, task: Task, now: float) -> Admission | None:
    """Of a task that waits and has a deadline; None for others."""
    if task.deadline is None or task.status.is_final or task.status.state is State.RUNNING:
        return None
    expected = cluster.expected(task)
    start = max(now, task.start_after)
    runs, late = total(_running(cluster, now)), None
    own = time_of(cluster, expected)
    if cluster.policy.by_deadline:
        line = Agenda(cluster, task, now).line
        place = bisect_left(line, (task.deadline, task.seq))
        waits = total(due.work for due in line[:place])
        if start == now:
            more = own.times(cluster.floor.share(task.terms.needs))
            late = made_late(line[place:], runs.plus(waits), more, now)
    else:
        waits = total(_queued(cluster, task))
    before = runs.plus(waits).times(loss(cluster, task.terms.needs))
    held = _held(cluster, task, now)
    if held is not None and held.time.mean > before.mean:
        before = held.time
    else:
        held = None
    if expected is None:
        return Admission(None, before.mean, None, start + before.mean < task.deadline, late, held)
    if now + before.mean <= start:
        whole, begin = own, start  # what goes before it is done by then
    else:
        whole, begin = before.plus(own), now
    is_met = begin + whole.within(CHANCE) <= task.deadline
    done_by = begin + max(whole.within(SURE), expected.upper)
    return Admission(expected.upper, before.mean, done_by, is_met, late, held)


def _held(cluster: Cluster, task: Task, now: float) -> Held | None:
    """Of those who use what the task names, the one that goes on longest: a lease until it lapses."""
    found: Held | None = None
    for obstacle in cluster.conflicts.obstacles(task):
        other = obstacle.task
        attempt = cluster.attempt_of(other)
        slot = cluster.slots.get(attempt.slot) if attempt is not None else None
        if other.terms.kind is Kind.LEASE:
            time = Time(max(0.0, other.status.due - now) if slot is not None else other.terms.timeout or 0.0)
        elif slot is not None:
            time = _left(cluster, slot, now)
        else:
            time = time_of(cluster, cluster.expected(other))
        if found is None or time.mean > found.time.mean:
            found = Held(obstacle, time)
    return found


def _running(cluster: Cluster, now: float) -> Iterator[Time]:
    """What runs cannot be taken away."""
    for slot in cluster.slots.values():
        yield _left(cluster, slot, now).times(slot.share)


def _left(cluster: Cluster, slot: Slot, now: float) -> Time:
    """How long the slot's work goes on. What has outlived its median is taken to go on to its bound."""
    upper = max(0.0, slot.ends_by(now) - now)
    head = cluster.tasks.get(next(iter(slot.attempts)).task) if slot.attempts else None
    expected = cluster.expected(head) if head is not None and len(slot.attempts) == 1 else None
    left = slot.since + expected.median - now if expected is not None else upper
    return rest(min(left, upper) if left > 0 else upper, upper)


def _queued(cluster: Cluster, task: Task) -> Iterator[Time]:
    """With a policy that does not look at deadlines: everything that is ranked before it now."""
    own = task.queue.head() if isinstance(task.queue, Queue) else None
    for queue in cluster.ready.queues():
        if own is None or ((head := queue.head()) is not None and head[:2] <= own[:2]):
            yield time_of(cluster, queue.kind.expected).times(queue.kind.share).of(queue.size - (queue is task.queue))


def advice(found: Admission, task: Task, now: float) -> str:
    """What to tell who asked for it; "" if the deadline can be met."""
    if found.is_admitted or task.deadline is None:
        return ""
    left = task.deadline - now
    if found.is_met and found.late is not None:
        others = f"{found.late.first.id} and {found.late.size - 1} more" if found.late.size > 1 else found.late.first.id
        return (
            f"Its deadline in {left:.3g} s can be met, but it goes before {others}, who will be late then."
            f" A deadline of more than {found.late.until - now:.3g} s from now lets them go first."
        )
    if found.held is not None:
        return _advice_behind(found, found.held, left, now)
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


def _advice_behind(found: Admission, held: Held, left: float, now: float) -> str:
    """The same, where somebody uses what it needs."""
    by = held.by
    does = "writes" if by.writes else "reads"
    told = f"Its deadline in {left:.3g} s may not be met: {by.task.id} {does} '{by.thing}', and may do so for"
    told += f" {held.time.within(SURE):.3g} s more."
    if found.done_by is None:
        return f"{told} Set a later deadline, or wait for {by.task.id}."
    return f"{told} {found.done_by - now:.3g} s from now could be met."
