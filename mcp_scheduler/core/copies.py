"""Copies: attempts of one task that run beside each other, because that was asked for.

`replicas` asks for so many at once, `hedge` for one more when the task is late. All of them draw their numbers from the
one counter of the task, so each is known by a number of its own. The first success is the task's; the others have lost:
they are stopped, keep what they hold until their processes are gone, and are then recorded as cancelled, whatever they
report. The task has failed when its last living copy has, and that counts as one failure. Once one copy has failed
none is added: the reason of a running task tells that, and so it is known to the next engine, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from heapq import heappop, heappush
from math import inf
from typing import TYPE_CHECKING, Final

from mcp_scheduler.core import charging
from mcp_scheduler.core.events import Ended, Outcome
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.learning import device_class, learn
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.core.task import Task

if TYPE_CHECKING:
    from mcp_scheduler.core.cluster import Cluster
    from mcp_scheduler.core.draft import Draft

BEATEN: Final = "Another copy of it came first."


class Copies:
    """Who runs beside whom, and who wants another one. Derived from the attempts under way."""

    __slots__ = ("_late", "living", "wanted")

    def __init__(self) -> None:
        self.living: dict[str, dict[AttemptId, None]] = {}  # task that may have copies → all its attempts under way
        self.wanted: dict[str, None] = {}  # tasks with fewer than they want, the longest wait first
        self._late: list[tuple[float, AttemptId]] = []  # when attempts become late, a heap

    def began(self, attempt: AttemptId) -> None:
        """An attempt of a task that may have copies has its place."""
        self.living.setdefault(attempt.task, {})[attempt] = None

    def left(self, attempt: AttemptId) -> None:
        """It has left its place."""
        several = self.living.get(attempt.task)
        if several is not None:
            del several[attempt]
            if not several:
                del self.living[attempt.task]
                self.wanted.pop(attempt.task, None)

    def of(self, task: str) -> Iterable[AttemptId]:
        """The attempts of this task under way, if it is one that may have several."""
        return self.living.get(task, ())

    def watch(self, attempt: AttemptId, at: float) -> None:
        """The attempt is late from this time on."""
        heappush(self._late, (at, attempt))

    def next(self) -> float:
        """When the next one becomes late; infinite if none does."""
        while self._late and self._late[0][1] not in self.living.get(self._late[0][1].task, ()):
            heappop(self._late)
        return self._late[0][0] if self._late else inf

    def late(self, now: float) -> Iterator[AttemptId]:
        """Those that have become late, each once."""
        while self.next() <= now:
            yield heappop(self._late)[1]


def most(task: Task) -> int:
    """How many attempts of the task may be under way at once."""
    return 2 if task.extras.hedge else task.extras.replicas


def lacks(draft: Draft, task: Task) -> bool:
    """Whether the task may have one more attempt beside those that run."""
    status = draft.status(task)
    runs = status.state is State.RUNNING and not status.cancel_requested and status.reason is None
    return runs and 0 < len(draft.cluster.copies.living.get(task.id, ())) < most(task)


def want(draft: Draft, task: Task, *, is_late: bool = False) -> None:
    """Know whether the task wants one more: it lacks replicas, or it is late."""
    wanted = draft.cluster.copies.wanted
    if not lacks(draft, task):
        wanted.pop(task.id, None)
    elif is_late or not task.extras.hedge:
        wanted[task.id] = None


def won(draft: Draft, task: Task, attempt: AttemptId) -> None:
    """The attempt has succeeded, and is about to leave its place: the others have lost."""
    cluster = draft.cluster
    cluster.copies.wanted.pop(task.id, None)
    several = tuple(cluster.copies.of(task.id))
    for other in several:
        if other != attempt:
            draft.stop(other, None)
    copy = next((one for one in several if cluster.hedging.is_copy(one)), None)
    if copy is not None and len(several) > 1:
        cluster.hedging.judge(task.terms.target, won=copy == attempt)


def goes_on(draft: Draft, task: Task, outcome: Outcome) -> bool:
    """An attempt has ended badly, and has left its place: whether others of the task still may succeed."""
    if not draft.cluster.copies.of(task.id):
        return False
    if outcome.reason is Reason.YIELDED:
        # It has not failed: the task lacks a copy, which goes on from the folder where there is room beside who waits.
        want(draft, task, is_late=True)
        return True
    noted = draft.status(task).copy()
    noted.reason, noted.error = outcome.reason, outcome.error
    draft.put(task, noted)
    want(draft, task)
    return True


def lost(draft: Draft, event: Ended) -> None:
    """A report that no running task waits for. One that has lost leaves its place now; all others are only told that
    nobody waits."""
    cluster = draft.cluster
    attempt = event.attempt
    if attempt not in cluster.slot_of:
        draft.settle(attempt)
        return
    task, slot = cluster.tasks[attempt.task], cluster.slots[cluster.slot_of[attempt]]
    beaten = replace(event.outcome, reason=Reason.CANCELLED, error=BEATEN)
    outcome = replace(beaten, result=None, result_file="", result_size=0)
    if event.outcome.result_file:
        draft.changes.leavings.append(event.outcome.result_file)
    charging.end(cluster, task, attempt, outcome.seconds, draft.now)
    draft.leave_slot(attempt, event.at)
    draft.end(Ended(attempt, event.at, outcome))
    learn(cluster, task, slot, outcome, draft.now)


def handed_back(draft: Draft, attempt: AttemptId) -> None:
    """The same, of one that never began."""
    cluster = draft.cluster
    if attempt not in cluster.slot_of:
        draft.settle(attempt)
        return
    charging.end(cluster, cluster.tasks[attempt.task], attempt, 0.0, draft.now)
    draft.leave_slot(attempt)
    draft.give_back(attempt)


def began_again(cluster: Cluster, task: Task, attempt: AttemptId) -> None:
    """Everything derived is built anew, and this attempt is under way. Of a pair the second one is the copy."""
    copies = cluster.copies
    copies.began(attempt)
    status = task.status
    if status.state is not State.RUNNING:
        cluster.stopping.add(attempt)
        return
    if task.extras.hedge and len(copies.living[task.id]) > 1:
        copy = max(copies.living[task.id])
        if not cluster.hedging.is_copy(copy):
            cluster.hedging.begin(copy, 0.0, on_devices=task.terms.needs.has_devices)
    watch(cluster, task, attempt)


def watch(cluster: Cluster, task: Task, attempt: AttemptId) -> None:
    """Look at the attempt again when it is late, if it is known when it began, and how long such calls take."""
    began = cluster.began.get(attempt)
    if began is None or not task.extras.hedge:
        return
    expected = cluster.expected(task, device_class(cluster, cluster.slots[cluster.slot_of[attempt]]))
    if expected is not None and expected.late < inf:
        cluster.copies.watch(attempt, began + expected.late)
