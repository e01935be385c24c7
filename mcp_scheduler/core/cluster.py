"""The state that `decide` looks at: facts (tasks, attempts) and what is derived from them (queues, slots, timers).

Facts change only in `apply`, after their change is durable: readers see nothing that a crash could take back. What is
derived is changed by `decide` at once. When a commit fails, `rebuild` derives it again from the facts, as on boot.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final
from weakref import ReferenceType, WeakKeyDictionary, ref

from mcp_scheduler.core import rebuilding
from mcp_scheduler.core.blocked import Blocked
from mcp_scheduler.core.breakers import Breakers
from mcp_scheduler.core.budget import RetryBudget
from mcp_scheduler.core.changes import Changes
from mcp_scheduler.core.chunking import Chunking
from mcp_scheduler.core.coming import Coming
from mcp_scheduler.core.conflicts import Conflicts
from mcp_scheduler.core.contention import Contention
from mcp_scheduler.core.copies import Copies
from mcp_scheduler.core.deadlines import Deadlines
from mcp_scheduler.core.estimates import Estimates, Expected, Footprints, Forecasts
from mcp_scheduler.core.floor import Floor
from mcp_scheduler.core.hedging import Hedging
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.learning import Sampler
from mcp_scheduler.core.levels import Plan, plan
from mcp_scheduler.core.node import Attempt, Node
from mcp_scheduler.core.pace import Pace
from mcp_scheduler.core.peaks import Peaks
from mcp_scheduler.core.policy import Policy, quantum_of
from mcp_scheduler.core.ready import Ready
from mcp_scheduler.core.recurring import Calendar, NoCalendar
from mcp_scheduler.core.rollback import derived
from mcp_scheduler.core.slices import Slices
from mcp_scheduler.core.slots import Room, Slot
from mcp_scheduler.core.states import FINAL, OVER, State
from mcp_scheduler.core.task import NO_EXTRAS, Kind, Status, Task, Terms
from mcp_scheduler.core.timers import Timer, Timers
from mcp_scheduler.core.usage import Usage
from mcp_scheduler.core.watching import Watcher

TAIL: Final = 20_000  # ended tasks that stay in memory
WARM: Final = 300.0  # seconds that a worker with devices may rest
MICRO: Final = 1_000_000  # grants of leases are told apart by the microsecond


class Cluster:
    """Everything unfinished, and a short tail of what has ended."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.tasks: dict[str, Task] = {}
        self.attempts: dict[AttemptId, Attempt] = {}
        self.began: dict[AttemptId, float] = {}  # of those with a timeout or a hedge: reported, never stored
        self.keys: dict[tuple[str, str], str] = {}
        self.tail: deque[str] = deque()
        self.counts: dict[State, int] = dict.fromkeys(State, 0)
        self.rooms: dict[str, Room] = {}
        self.floor = Floor(self.rooms)
        self.estimates = Estimates()
        self.forecasts: Forecasts | None = None  # without them the estimates serve
        self.footprints: Footprints | None = None
        self.watcher: Watcher | None = None  # who looks for what is unusual
        self.sampler = Sampler()
        self.peaks, self.pace = Peaks(), Pace()
        self.usage = Usage()
        self.slices = Slices()
        self.hedging = Hedging()
        self.expires = True  # whether a task that still waits at its deadline ends there
        self.warm_seconds = WARM
        self.last_grant = 0  # the fence of the latest lease: see `leases`
        self.paused = ""  # why nothing new starts; "" while things do
        self.calendar: Calendar = NoCalendar()
        self.contention = Contention()
        self.retry_budget = RetryBudget()
        self.breakers = Breakers()
        self.chunking = Chunking()
        self.next_seq = 1
        self._terms: WeakKeyDictionary[Terms, ReferenceType[Terms]] = WeakKeyDictionary()
        self.gone: dict[State, int] = dict.fromkeys(State, 0)  # ended tasks that only the store still knows
        self._latest_terms: Terms | None = None
        self._newest = 0  # the highest arrival number that was ever seen here
        self._sure_above = 0  # of the tasks with higher arrival numbers none is missing, and they came in this order
        self.forget_derived()

    def forget_derived(self) -> None:
        """Be as if nothing were queued, running or awaited: what follows derives it again."""
        self.rollbacks = derived(self.tasks.values())
        self.coming = Coming()
        self.slices.forget_derived()
        self.slices.quantum = quantum_of(self.policy)
        self.plans: dict[str, Plan] = {}  # of graphs under way
        self.deadlines = Deadlines()
        self.recurring: dict[Task, None] = {}  # open tasks with a period
        self.ready = self._new_ready()
        self.conflicts = Conflicts(self.contention)
        self.slots: dict[str, Slot] = {}
        self.slot_of: dict[AttemptId, str] = {}
        self.resting: dict[str, Slot] = {}  # empty slots whose worker stays warm on its devices
        self.leaving: set[str] = set()  # those of them whose worker was asked to end
        self.hungry: dict[str, Slot] = {}  # slots whose window may be filled up
        self.missing: dict[str, int] = {}  # pending task → dependencies that have not ended
        self.dependents: dict[str, dict[Task, None]] = {}
        self.blocked: dict[str, Blocked] = {}  # tasks that were first in line and found no room
        self.thorough_at = -math.inf  # when a round may look at many heads again
        self.next_look = math.inf  # when to look again though nothing has happened
        self.stopping: set[AttemptId] = set()
        self.copies = Copies()  # attempts beside each other: see `copies`
        self.hedging.forget_copies()
        self.charged: dict[AttemptId, float] = {}  # what was counted as used when they started: see `charging`
        self.timers = Timers()
        for room in self.rooms.values():
            room.clear()

    def _new_ready(self) -> Ready:
        return Ready(self.policy, share=self.floor.share, expect=self.expected, plans=self.plans, usage=self.usage)

    def use(self, policy: Policy) -> None:
        """Another policy from now on: what waits is ranked by it."""
        waiting = sorted(self.ready.waiting(), key=lambda one: (one[2], one[0].seq))
        self.policy = policy
        self.slices.use(quantum_of(policy), self.slots)
        if policy.by_graph:
            rebuilding.plan_again(self)
        self.ready = self._new_ready()
        for task, priority, since in waiting:
            self.ready.push(task, priority, since)

    def expected(self, task: Task, device_class: str = "") -> Expected | None:
        """How long the task will take; None where nothing is known."""
        return (self.forecasts or self.estimates).expected(task, device_class)

    def attempt_of(self, task: Task) -> Attempt | None:
        """The attempt of the task that is under way; of several copies the first one."""
        several = self.copies.living.get(task.id)
        return self.attempts.get(next(iter(several)) if several else AttemptId(task.id, task.status.number))

    def take_seq(self) -> int:
        """The arrival number of a new task. One that is not used, because a commit fails, is never given again."""
        self.next_seq += 1
        return self.next_seq - 1

    def intern(self, terms: Terms) -> Terms:
        """The one object for these terms. Equal ones come in rows, and hashing them is what costs here."""
        if terms is self._latest_terms:
            return terms
        known = self._terms.setdefault(terms, ref(terms))() or terms
        self._latest_terms = known
        return known

    # --- facts

    def load(self, tasks: Iterable[Task], attempts: Iterable[Attempt], next_seq: int = 0, latest: float = 0.0) -> None:
        """Start from what the store knows: the unfinished tasks, the next arrival number, and the newest time. Follow
        with `rebuild`, once the nodes are there."""
        self._newest = self._sure_above = next_seq - 1
        self.next_seq = max(next_seq, 1)
        one_of: dict[int, Terms] = {}  # by identity: hashing terms is what costs where a million tasks share a thousand
        for task in tasks:
            task.terms = one_of.get(id(task.terms)) or one_of.setdefault(id(task.terms), self.intern(task.terms))
            self._admit(task)
        self.attempts = {attempt.id: attempt for attempt in attempts}
        self.last_grant = math.ceil(max([latest, *(attempt.at for attempt in self.attempts.values())]) * MICRO)

    def apply(self, changes: Changes) -> None:
        """The changes are durable: make them visible. What they end stays in memory until the next call at least."""
        self._trim_tail()
        for new in changes.added:
            self._admit(new.task)
        tasks, counts = self.tasks, self.counts
        for task_id, status in changes.statuses.items():
            task, state = tasks[task_id], status.state
            counts[task.status.state] -= 1
            counts[state] += 1
            task.status = status
            if state in FINAL:
                self.tail.append(task_id)
        if changes.deadlines or changes.terms or changes.extras:
            self._amend(changes)
        self._apply_attempts(changes)
        if changes.stilled or changes.continued:
            self.slices.apply(self, changes)
        self.timers.sweep(self._means)

    def _apply_attempts(self, changes: Changes) -> None:
        for attempt in changes.started:
            self.attempts[attempt.id] = attempt
            if attempt.devices:
                self.slots[attempt.slot].launched = True
        for ended in changes.ended:
            self._end(ended.attempt)
        for name in changes.returned:
            self._end(name)

    def _amend(self, changes: Changes) -> None:
        """What else a task can get anew."""
        for task_id, deadline in changes.deadlines.items():
            self._set_deadline(self.tasks[task_id], deadline)
        for task_id, terms in changes.terms.items():
            self.tasks[task_id].terms = terms
        for task_id, extras in changes.extras.items():
            self.tasks[task_id].extras = extras

    def _set_deadline(self, task: Task, deadline: float | None) -> None:
        """Where it stands in its queue goes by it."""
        is_queued = task.queue is not None
        if is_queued:
            self.ready.remove(task)
        task.deadline = deadline
        self.deadlines.watch(task)
        if is_queued:
            self.ready.push(task, task.status.priority, task.status.at)

    def _end(self, name: AttemptId) -> None:
        attempt = self.attempts.pop(name, None)
        self.began.pop(name, None)
        self.slices.over(name)
        if attempt is not None and attempt.devices:
            self.peaks.end(attempt.slot)  # the next call of this worker has a peak of its own

    def revive(self, task: Task) -> None:
        """An ended task that had left memory is wanted again. It comes as the store knows it: that is a fact."""
        task.terms, task.queue = self.intern(task.terms), None
        self.gone[task.status.state] -= 1
        self._admit(task)

    def newest_first(self) -> Iterator[Task]:
        """Tasks in the order of their arrival numbers, down to the last of which memory is sure."""
        for task in reversed(self.tasks.values()):
            if task.seq <= self._sure_above:
                return
            yield task

    def _admit(self, task: Task) -> None:
        self.tasks[task.id] = task
        if task.seq > self._newest:
            self._newest = task.seq
        else:  # it overtook, or it comes back
            self._sure_above = self._newest
        self.counts[task.status.state] += 1
        if task.key:
            self.keys[task.terms.principal, task.key] = task.id
        if task.status.is_final:
            self.tail.append(task.id)

    def _trim_tail(self) -> None:
        while len(self.tail) > TAIL:
            name = self.tail.popleft()
            if name in self.copies.living:  # one that has lost has not ended yet
                self.tail.append(name)
                return
            task = self.tasks.get(name)
            if task is not None and task.status.is_final:
                self._forget(task)
                self.gone[task.status.state] += 1

    def pruned(self, ids: Iterable[str], states: Iterable[State]) -> None:
        """The store has forgotten these ended tasks."""
        for task_id, state in zip(ids, states, strict=True):
            task = self.tasks.get(task_id)
            if task is None:
                self.gone[state] -= 1
            elif task.status.is_final:
                self._forget(task)

    def _forget(self, task: Task) -> None:
        del self.tasks[task.id]
        self._sure_above = max(self._sure_above, task.seq)
        self.counts[task.status.state] -= 1
        self.keys.pop((task.terms.principal, task.key), None)

    def totals(self) -> dict[State, int]:
        """How many tasks there are in each state, those that only the store knows included."""
        return {state: count + self.gone[state] for state, count in self.counts.items()}

    # --- what is derived

    def set_node(self, node: Node) -> None:
        room = self.rooms.get(node.name)
        if room is None:
            room = self.rooms[node.name] = Room(node)
        else:
            room.resize(node)
        self.floor.came(room)

    def rebuild(self) -> None:
        """Derive queues, slots and timers from the facts: on boot, and after a commit that failed."""
        rebuilding.rebuild(self)

    def watch_times(self, task: Task) -> None:
        """The task has come: know its deadline, and whether it recurs."""
        if task.deadline is not None:
            self.deadlines.watch(task)
        if task.extras.every:
            self.recurring[task] = None

    def plan(self, members: Sequence[Task]) -> None:
        """Tasks of one graph have come, dependencies first: know how urgent each is for the end of the graph."""
        made = plan(members, self._seconds_of, lambda task: self.floor.share(task.terms.needs))
        if made is not None:
            self.plans[members[0].group] = made

    def _seconds_of(self, task: Task) -> float:
        expected = self.expected(task)
        return expected.median if expected is not None else self.pace.seconds

    def stand(self, task: Task, status: Status, *, first: bool = False, again: bool = False) -> None:
        """The task is queued: it can be found, unless it conflicts with one that became queued earlier. `first`: before
        all of its kind; `again`: it stands in the lines of its things already."""
        if task.extras is NO_EXTRAS or again or self.conflicts.join(task, status.at):
            self.ready.push(task, status.priority, status.at, first=first)

    def is_open(self, name: str) -> bool:
        """Whether this task is here and has not ended."""
        return (task := self.tasks.get(name)) is not None and task.status.state not in OVER

    def wait_for(self, task: Task, names: Collection[str]) -> None:
        """The task cannot go on before these others have ended: well, or, if only before it in its graph, anyhow."""
        for name in names:
            self.dependents.setdefault(name, {})[task] = None
        if names:
            self.missing[task.id] = len(names)

    def unplan(self, task: Task) -> None:
        """The task has ended: its graph is shorter by it."""
        made = self.plans.get(task.group)
        if made is not None and made.is_over_without(task.id):
            del self.plans[task.group]

    def wait_no_more(self, task: Task, more: Iterable[str] = ()) -> None:
        """The task has ended, perhaps before its dependencies, or `more`, have: they need not remember it."""
        if self.missing.pop(task.id, None) is None:
            return
        for name in (*task.after, *more):
            waiting = self.dependents.get(name)
            if waiting is not None:
                waiting.pop(task, None)
                if not waiting:
                    del self.dependents[name]

    def wake(self, at: float, *, task: Task | None = None, attempt: AttemptId | None = None, slot: str = "") -> None:
        """Look at this again at the time `at`. A timer that has lost its meaning is passed over when it fires."""
        self.timers.add(at, task, attempt, slot)

    def _means(self, timer: Timer) -> bool:
        if timer.task is not None:
            status = timer.task.status
            is_lease = status.state is State.RUNNING and timer.task.terms.kind is Kind.LEASE
            return (is_lease or status.state in (State.SCHEDULED, State.RETRYING)) and status.due == timer.at
        if timer.attempt is not None:
            return timer.attempt in self.slot_of
        return timer.slot in self.slots or timer.slot in self.resting

    def look_again(self, at: float) -> None:
        """Have a round at this time, though nothing may have happened by then."""
        self.next_look = min(self.next_look, at)

    def next_due(self) -> float | None:
        """When the next timer fires, or the next look is due."""
        others = min(self.deadlines.next(), self.breakers.next_at, self.copies.next())
        first = min(self.timers.first(), self.next_look, others)
        return first if first < math.inf else None

    @property
    def unfinished(self) -> int:
        """How many tasks have not ended."""
        return len(self.tasks) - sum(self.counts[state] for state in FINAL)
