"""The state that `decide` looks at: facts (tasks, attempts) and what is derived from them (queues, slots, timers).

Facts change only in `apply`, after their change is durable: readers see nothing that a crash could take back. What is
derived is changed by `decide` at once. When a commit fails, `rebuild` derives it again from the facts, as on boot.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from heapq import heappop, heappush
from typing import Final, NamedTuple, Protocol
from weakref import WeakValueDictionary

from mcp_scheduler.core.changes import Changes
from mcp_scheduler.core.estimates import Estimates
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Attempt, Node
from mcp_scheduler.core.ready import Ready
from mcp_scheduler.core.slots import Room, Slot
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Task, Terms

TAIL: Final = 20_000  # ended tasks that stay in memory


class Policy(Protocol):
    """Which of the waiting tasks goes first: the smallest rank."""

    @property
    def name(self) -> str: ...
    def rank(self, terms: Terms, priority: int, queued_at: float, /) -> float: ...


class Timer(NamedTuple):
    """Something becomes due at `at`: a task's time, an attempt's timeout, or a look at a slot whose head may hang."""

    at: float
    order: int
    task: Task | None = None
    attempt: AttemptId | None = None
    slot: str = ""


class Cluster:
    """Everything unfinished, and a short tail of what has ended."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.tasks: dict[str, Task] = {}
        self.attempts: dict[AttemptId, Attempt] = {}
        self.keys: dict[tuple[str, str], str] = {}
        self.tail: deque[str] = deque()
        self.counts: dict[State, int] = dict.fromkeys(State, 0)
        self.rooms: dict[str, Room] = {}
        self.estimates = Estimates()
        self._terms: WeakValueDictionary[Terms, Terms] = WeakValueDictionary()
        self._forget_derived()

    def _forget_derived(self) -> None:
        self.ready = Ready(self.policy.rank)
        self.slots: dict[str, Slot] = {}
        self.slot_of: dict[AttemptId, str] = {}
        self.hungry: dict[str, Slot] = {}  # slots whose window may be filled up
        self.missing: dict[str, int] = {}  # pending task → dependencies that have not ended
        self.dependents: dict[str, list[Task]] = {}
        self.stopping: set[AttemptId] = set()
        self._timers: list[Timer] = []
        self._timer_count = 0
        for name, room in self.rooms.items():
            self.rooms[name] = Room(room.node)

    def intern(self, terms: Terms) -> Terms:
        """The one object for these terms."""
        return self._terms.setdefault(terms, terms)

    # --- facts

    def load(self, tasks: Iterable[Task], attempts: Iterable[Attempt]) -> None:
        """Start from what the store knows. Follow with `rebuild`, once the nodes are there."""
        for task in tasks:
            task.terms = self.intern(task.terms)
            self._admit(task)
        self.attempts = {attempt.id: attempt for attempt in attempts}

    def apply(self, changes: Changes) -> None:
        """The changes are durable: make them visible."""
        for new in changes.added:
            self._admit(new.task)
        for task_id, status in changes.statuses.items():
            task = self.tasks[task_id]
            self.counts[task.status.state] -= 1
            self.counts[status.state] += 1
            task.status = status
            if status.is_final:
                self.tail.append(task_id)
        for task_id, deadline in changes.deadlines.items():
            self.tasks[task_id].deadline = deadline
        for attempt in changes.started:
            self.attempts[attempt.id] = attempt
        for ended in changes.ended:
            self.attempts.pop(ended.attempt, None)
        for attempt_id in changes.returned:
            self.attempts.pop(attempt_id, None)
        self._trim_tail()

    def revive(self, task: Task) -> None:
        """An ended task that had left memory is wanted again. It comes as the store knows it: that is a fact."""
        task.terms = self.intern(task.terms)
        self.tasks[task.id] = task
        self.counts[task.status.state] += 1

    def _admit(self, task: Task) -> None:
        self.tasks[task.id] = task
        self.counts[task.status.state] += 1
        if task.key:
            self.keys[task.terms.principal, task.key] = task.id
        if task.status.is_final:
            self.tail.append(task.id)

    def _trim_tail(self) -> None:
        while len(self.tail) > TAIL:
            task = self.tasks.get(self.tail.popleft())
            if task is not None and task.status.is_final and task.id not in self.dependents:
                del self.tasks[task.id]
                self.counts[task.status.state] -= 1
                self.keys.pop((task.terms.principal, task.key), None)

    # --- what is derived

    def set_node(self, node: Node) -> None:
        room = self.rooms.get(node.name)
        if room is None:
            self.rooms[node.name] = Room(node)
        else:
            room.resize(node)

    def rebuild(self) -> None:
        """Derive queues, slots and timers from the facts: on boot, and after a commit that failed."""
        self._forget_derived()
        waiting: list[Task] = []
        for task in self.tasks.values():
            match task.status.state:
                case State.QUEUED:
                    self.ready.push(task, task.status.priority, task.status.at)
                case State.SCHEDULED | State.RETRYING:
                    self.wake(task.status.due, task=task)
                case State.PENDING | State.HELD:
                    waiting.append(task)
                case _:
                    pass
        for task in waiting:
            self.link(task, task.after, {})
        for attempt in sorted(self.attempts.values(), key=lambda attempt: (attempt.at, attempt.id)):
            self._reserve_again(attempt)

    def _reserve_again(self, attempt: Attempt) -> None:
        terms = self.tasks[attempt.id.task].terms
        slot = self.slots.get(attempt.slot)
        if slot is None:
            slot = self.slots[attempt.slot] = Slot(attempt.slot, attempt.node, terms)
            self.rooms[attempt.node].seize(terms.needs)
        slot.add(attempt.id, self.estimates.seconds(terms.target) or 0.0, attempt.at)
        self.slot_of[attempt.id] = slot.id

    def link(self, task: Task, after: Sequence[str], fresh: Mapping[str, Task]) -> None:
        """Note that a task waits for those of `after` that have not ended. `fresh` are tasks of the same batch."""
        count = 0
        for name in after:
            other = fresh.get(name) or self.tasks.get(name)
            if other is not None and not other.status.is_final:
                self.dependents.setdefault(name, []).append(task)
                count += 1
        if count:
            self.missing[task.id] = count

    def wake(
        self, at: float, *, task: Task | None = None, attempt: AttemptId | None = None, slot: str = ""
    ) -> None:
        """Look at this again at the time `at`. A timer that has lost its meaning is passed over when it fires."""
        self._timer_count += 1
        heappush(self._timers, Timer(at, self._timer_count, task, attempt, slot))

    def due(self, now: float) -> Iterable[Timer]:
        """The timers that have fired, each once."""
        timers = self._timers
        while timers and timers[0].at <= now:
            yield heappop(timers)

    def next_due(self) -> float | None:
        """When the next timer fires."""
        return self._timers[0].at if self._timers else None

    @property
    def unfinished(self) -> int:
        """How many tasks have not ended."""
        return len(self.tasks) - sum(
            self.counts[state] for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED, State.SKIPPED)
        )
