"""When tasks will start and end, from memory and cheaply: the work ahead of them, and the room that comes free for it.

Work is counted in seconds of a whole node: the time a task takes, by the largest share of anything that it needs. Room
grows when what runs comes to its end; what stands ahead in the queue takes it first. That is the flow of work, not a
simulation of each decision: it says about when, in two figures, of which the later one is kept nine times in ten as far
as the forecasts of single tasks are.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from math import sqrt
from typing import Final

from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.estimates import Expected
from mcp_scheduler.core.learning import device_class
from mcp_scheduler.core.slots import Slot
from mcp_scheduler.core.states import FINAL, State
from mcp_scheduler.core.task import Kind, Needs, Task
from mcp_scheduler.ports import Clock
from mcp_scheduler.views import EtaView

_LINES: Final = 1000  # queues that are looked at
_SLOTS: Final = 1000
_STEPS: Final = 200  # dependencies that one question may go through
_AGE: Final = 0.001  # seconds for each queue, as which the picture of all of them may be old
_YOUNGEST, _OLDEST = 0.02, 1.0  # in any case: many clients ask in one and the same moment


@dataclass(frozen=True, slots=True)
class Ahead:
    """Tasks of one queue: their first and last rank, how many, and what one of them takes of a node."""

    rank: float
    last: float
    count: int
    median: float
    spread: float


@dataclass(frozen=True, slots=True)
class Picture:
    """The queues and what runs, at one moment. The queues stand in the order of their last ranks (`lasts`); `sums` has
    the work and the variance of the first none, one, two, … of them. `ends`: (seconds from `at`, share of a node that
    comes free then), for the usual and for the late case."""

    at: float
    queues: tuple[Ahead, ...]
    lasts: tuple[float, ...]
    sums: tuple[tuple[float, float], ...]
    ends: tuple[tuple[float, float], ...]
    late_ends: tuple[tuple[float, float], ...]
    free: float
    is_known: bool


class Outlook:
    """Answers from a picture that is a moment old at most."""

    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        self._cluster = cluster
        self._clock = clock
        self._picture: Picture | None = None

    def of(self, task: Task) -> EtaView | None:
        """When the task starts and ends; None where nothing is known, or a person holds it."""
        return self._of(task, [_STEPS])

    def _of(self, task: Task, steps: list[int]) -> EtaView | None:
        steps[0] -= 1
        state = task.status.state
        if state is State.RUNNING:
            return self._of_running(task)
        expected = self._cluster.expected(task, self._device_class(task.terms.needs))
        if expected is None or steps[0] < 0:
            return None
        match state:
            case State.QUEUED:
                start = self._start(task)
            case State.SCHEDULED | State.RETRYING:
                start = (max(0.0, task.status.due - self._clock.now()),) * 2
            case State.PENDING if not task.extras.undoes:  # who knows whether anything fails
                start = self._after(task, steps)
            case _:
                start = None
        if start is None:
            return None
        limit = task.terms.timeout or float("inf")
        return EtaView(start[0] + min(expected.median, limit), start[1] + min(expected.upper, limit), *start)

    def _of_running(self, task: Task) -> EtaView | None:
        attempt = self._cluster.attempt_of(task)
        slot = None if attempt is None else self._cluster.slots.get(attempt.slot)
        left = None if slot is None else self._left(task, slot)
        return None if left is None else EtaView(left.median, left.upper)

    def _left(self, task: Task, slot: Slot) -> Expected | None:
        """Of a task that runs. An estimate that it has outlived is doubled until it has not."""
        if task.terms.kind is Kind.LEASE:
            held = max(0.0, task.status.due - self._clock.now())
            return Expected(held, held) if task.status.due else None
        expected = self._cluster.expected(task, device_class(self._cluster, slot))
        if expected is None:
            return None
        attempt = self._cluster.attempt_of(task)
        now = self._clock.now() if slot.still_since is None else slot.still_since
        ran = max(0.0, now - max(slot.since, attempt.at if attempt else 0.0))
        limit = (task.terms.timeout or float("inf")) - ran
        median = max(0.0, min(_outlived(expected.median, ran) - ran, limit))
        return Expected(median, max(median, min(_outlived(expected.upper, ran) - ran, limit)))

    def _after(self, task: Task, steps: list[int]) -> tuple[float, float] | None:
        """When the last of its dependencies ends."""
        early = late = 0.0
        for name in task.after:
            other = self._cluster.tasks.get(name)
            if other is None or other.status.state in FINAL:
                continue
            found = self._of(other, steps)
            if found is None:
                return None
            early, late = max(early, found.end), max(late, found.end_late)
        return early, late

    def _start(self, task: Task) -> tuple[float, float] | None:
        picture = self._look()
        if not picture.is_known:
            return None
        rank = self._cluster.ready.rank(task)
        if rank is None:  # it waits for another task, whose end is no end of a queue; or it is being started
            return None if task in self._cluster.conflicts.blocked else (0.0, 0.0)
        whole = bisect_left(picture.lasts, rank)  # most often all of them: who asks has just come
        work, variance = picture.sums[whole]
        for queue in islice(picture.queues, whole, None):
            count = _before(queue, rank)
            work += count * queue.median
            variance += count * queue.spread * queue.spread
        share = self._share(task.terms.needs)
        passed = self._clock.now() - picture.at
        early = _when(picture.ends, picture.free, work, share) - passed
        late = _when(picture.late_ends, picture.free, work + sqrt(variance), share) - passed
        return max(0.0, early), max(0.0, early, late)

    def _look(self) -> Picture:
        now = self._clock.now()
        old = self._picture
        if old is None or now - old.at > min(max(_YOUNGEST, _AGE * len(old.queues)), _OLDEST):
            self._picture = old = self._draw(now)
        return old

    def _draw(self, now: float) -> Picture:
        cluster = self._cluster
        is_known = True
        queues: list[Ahead] = []
        for line in islice(cluster.ready.lines(), _LINES):
            needs = line.first.terms.needs
            expected = cluster.expected(line.first, self._device_class(needs))
            share = self._share(needs)
            if expected is None:
                is_known = False
            else:
                spread = (expected.upper - expected.median) * share
                queues.append(Ahead(line.rank, line.last, line.size, expected.median * share, spread))
        ends: list[tuple[float, float]] = []
        late_ends: list[tuple[float, float]] = []
        used = 0.0
        for slot in islice(cluster.slots.values(), _SLOTS):
            share = self._share(slot.terms.needs)
            used += share
            head = cluster.tasks.get(next(iter(slot.attempts)).task) if slot.attempts else None
            left = self._left(head, slot) if head is not None else None
            if left is None:
                is_known = False
            else:
                ends.append((left.median, share))
                late_ends.append((left.upper, share))
        free = float(max(len(cluster.rooms), 1)) - used
        queues.sort(key=lambda queue: queue.last)
        return Picture(
            now, tuple(queues), tuple(queue.last for queue in queues), _sums(queues),
            tuple(sorted(ends)), tuple(sorted(late_ends)), free, is_known,
        )  # fmt: skip

    def _share(self, needs: Needs) -> float:
        """The largest part of anything of a node that these needs take, on the node where that is the least."""
        least = 1.0
        for room in self._cluster.rooms.values():
            parts = [amount / total for name, amount in needs.amounts if (total := room.total.get(name, 0))]
            if needs.gpus and room.devices.states:
                parts.append(needs.gpus / len(room.devices.states))
            least = min(least, max(parts, default=0.0))
        return least

    def _device_class(self, needs: Needs) -> str:
        """The class of the first device that the needs could mean."""
        if not needs.has_devices:
            return ""
        for room in self._cluster.rooms.values():
            for state in room.devices.ordered:
                if state.seen.answers_to(needs.device):
                    return state.seen.label
        return ""


def _outlived(estimate: float, ran: float) -> float:
    """The estimate, doubled until it exceeds what has run already (after Tsafrir, Etsion and Feitelson, 2007)."""
    estimate = max(estimate, 1e-3)
    while estimate <= ran:
        estimate *= 2.0
    return estimate


def _sums(queues: Sequence[Ahead]) -> tuple[tuple[float, float], ...]:
    """As in `Picture`."""
    found = [(0.0, 0.0)]
    for queue in queues:
        work, variance = found[-1]
        found.append((work + queue.count * queue.median, variance + queue.count * queue.spread * queue.spread))
    return tuple(found)


def _before(queue: Ahead, rank: float) -> float:
    """How many of a queue go before this rank."""
    if rank <= queue.rank:
        return 0.0
    if rank > queue.last or queue.last <= queue.rank:
        return queue.count
    return queue.count * (rank - queue.rank) / (queue.last - queue.rank)


def _when(ends: tuple[tuple[float, float], ...], free: float, work: float, share: float) -> float:
    """When the work ahead has been begun in what is free, and so much of a node is free besides."""
    now = 0.0
    for at, freed in ends:
        if work > 0.0 and free > 0.0 and work <= free * (at - now):
            return now + work / free  # what is ahead flows out as this task flows in
        if work <= 0.0 and free >= share - 1e-9:
            return now
        work -= max(0.0, free) * (at - now)
        now = at
        free += freed
    return now + (max(0.0, work) / free if free > 0.0 else 0.0)
