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

A task is admitted if it is done in time with the chance `CHANCE`. That is for the tightest deadline that is admitted;
most leave more time, so far fewer of all that are admitted are late. It is chosen for about 5 % of them at the worst:
with the load above the capacity and wide tasks among narrow ones (benchmarks/promises.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import exp, expm1, log, log1p, sqrt
from typing import Final, NamedTuple

from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.estimates import Expected
from mcp_scheduler.core.queues import Queue
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import MILLI, Needs, Task

CHANCE: Final = 0.6
SURE: Final = 0.9  # the chance of the bounds of forecasts
_Z: Final = {CHANCE: 0.253347, SURE: 1.281552}  # quantiles of the normal distribution
_WORST: Final = 2.0
_WIDEST: Final = 1.5  # of the logarithm: a bound of 7 medians tells that little is known, not how long the tail is


@dataclass(frozen=True, slots=True)
class Admission:
    """`takes`: seconds, by the upper bound, None where nobody knows; `before`: seconds of the whole cluster that go
    first, on the mean; `done_by`: when the task is done in 9 cases of 10, None where nobody knows; `is_met`: whether
    that is in time with the chance `CHANCE`."""

    takes: float | None
    before: float
    done_by: float | None
    is_met: bool


class Time(NamedTuple):
    """A random time: its mean in seconds and its variance."""

    mean: float
    variance: float = 0.0

    def times(self, factor: float) -> Time:
        return Time(self.mean * factor, self.variance * factor * factor)

    def of(self, count: int) -> Time:
        """So many of them, one after the other, each for itself."""
        return Time(self.mean * count, self.variance * count)

    def within(self, chance: float) -> float:
        """The seconds that are enough with this chance (`CHANCE` or `SURE`)."""
        if self.mean <= 0.0:
            return 0.0
        square = log1p(self.variance / self.mean**2)
        return self.mean * exp(_Z[chance] * sqrt(square) - square / 2)


def admission(cluster: Cluster, task: Task, now: float) -> Admission | None:
    """Of a task that waits and has a deadline; None for others."""
    if task.deadline is None or task.status.is_final or task.status.state is State.RUNNING:
        return None
    expected = cluster.expected(task)
    start = max(now, task.start_after)
    before = _sum([*_running(cluster, now), *_queued(cluster, task)]).times(_loss(cluster, task.terms.needs))
    if expected is None:
        return Admission(None, before.mean, None, is_met=start + before.mean < task.deadline)
    own = _time(cluster, expected)
    if now + before.mean <= start:
        whole, begin = own, start  # what goes before it is done by then
    else:
        whole, begin = _sum((before, own)), now
    is_met = begin + whole.within(CHANCE) <= task.deadline
    return Admission(expected.upper, before.mean, begin + max(whole.within(SURE), expected.upper), is_met)


def _sum(times: Iterable[Time]) -> Time:
    mean = variance = 0.0
    for time in times:
        mean += time.mean
        variance += time.variance
    return Time(mean, variance)


def _time(cluster: Cluster, expected: Expected | None) -> Time:
    """What a task takes; where nothing is known, what calls take."""
    return Time(cluster.pace.seconds) if expected is None else lognormal(expected)


def lognormal(expected: Expected) -> Time:
    """A time of this median, and of this bound of 9 in 10."""
    if not 0.0 < expected.median < expected.upper:
        return Time(expected.median)
    square = min(log(expected.upper / expected.median) / _Z[SURE], _WIDEST) ** 2
    mean = expected.median * exp(square / 2)
    return Time(mean, mean * mean * expm1(square))


def _loss(cluster: Cluster, needs: Needs) -> float:
    """How much longer than its seconds the work before a task of these needs may take: `g` above."""
    share = cluster.floor.share(needs)
    totals = cluster.floor.totals
    whole = totals.get("gpus", 0) if needs.gpus and not needs.gpu_memory else 0
    pieces = [1.0 / whole] if whole else []
    if totals.get("cpus"):
        pieces.append(MILLI / totals["cpus"])
    return min(_WORST, 1.0 / (1.0 - share + min(share, max(pieces, default=0.0))))


def _running(cluster: Cluster, now: float) -> Iterator[Time]:
    """What runs cannot be taken away. What has outlived its median is taken to go on to its bound."""
    for slot in cluster.slots.values():
        upper = max(0.0, slot.ends_by(now) - now)
        head = cluster.tasks.get(next(iter(slot.attempts)).task) if slot.attempts else None
        expected = cluster.expected(head) if head is not None and len(slot.attempts) == 1 else None
        left = slot.since + expected.median - now if expected is not None else upper
        usual = min(left, upper) if left > 0 else upper
        yield Time(usual, ((upper - usual) / _Z[SURE]) ** 2).times(slot.share)


def _queued(cluster: Cluster, task: Task) -> Iterator[Time]:
    """What waits and goes before: with a policy that looks at deadlines, those with an earlier one; else everything
    that is ranked before it now."""
    if cluster.policy.by_deadline:
        for other in cluster.deadlines:
            waits = other is not task and other.status.state is not State.RUNNING
            if waits and (other.deadline or 0.0, other.seq) < (task.deadline or 0.0, task.seq):
                yield _time(cluster, cluster.expected(other)).times(cluster.floor.share(other.terms.needs))
        return
    own = task.queue.head() if isinstance(task.queue, Queue) else None
    for queue in cluster.ready.queues():
        if own is None or ((head := queue.head()) is not None and head[:2] <= own[:2]):
            yield _time(cluster, queue.kind.expected).times(queue.kind.share).of(queue.size - (queue is task.queue))


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
