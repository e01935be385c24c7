"""One batch in the making: the cluster as it will be, the changes that make it so, and the effects that follow."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mcp_scheduler.core import rollback, warm
from mcp_scheduler.core.changes import Changes, Continue, Effect, Evict, Launch, Pause, Recall, Settle, Stop
from mcp_scheduler.core.cluster import MICRO, Cluster
from mcp_scheduler.core.events import Ended
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Attempt
from mcp_scheduler.core.slots import STAND_BY, Slot
from mcp_scheduler.core.states import OVER, Cause, Reason, State, advance
from mcp_scheduler.core.task import NO_EXTRAS, Extras, Kind, Status, Task

STANDING: Final = frozenset({State.QUEUED, State.RUNNING})  # who stands in the lines of its things
AGAIN: Final = frozenset({Cause.RETURN, Cause.YIELD})  # queued again, and still in the lines of its things


class Draft:
    """Facts are read through the draft, so that a batch sees its own changes before anybody else does."""

    __slots__ = (
        "_heirs", "_launches", "_settled", "changes", "cluster", "continues", "evictions", "fresh", "keys", "now",
        "pauses", "recalls", "recurred", "skipped", "stops", "touched",
    )  # fmt: skip

    def __init__(self, cluster: Cluster, now: float) -> None:
        self.cluster = cluster
        self.now = now
        self.changes = Changes()
        self.fresh: dict[str, Task] = {}  # tasks that arrived in this batch
        self.keys: dict[tuple[str, str], str] = {}  # idempotency keys that they brought
        self.stops: list[Stop] = []
        self.pauses: list[Pause] = []
        self.continues: list[Continue] = []
        self.recalls: list[Recall] = []
        self.evictions: list[Evict] = []
        self.recurred: list[Task] = []  # occurrences that have ended
        self.skipped: dict[str, tuple[str, ...]] = {}  # as it came in → who was open before it in its graph
        self.touched: dict[str, None] = {}  # rollbacks that something has happened to
        self._heirs: dict[Task, dict[str, None]] = {}  # waits for these, for whom one has waited that is gone
        self._launches: dict[str, list[AttemptId]] = {}
        self._settled: list[AttemptId] = []

    # --- tasks

    def task(self, task_id: str) -> Task | None:
        return self.fresh.get(task_id) or self.cluster.tasks.get(task_id)

    def status(self, task: Task) -> Status:
        return self.changes.statuses.get(task.id) or task.status

    def put(self, task: Task, status: Status) -> None:
        """The task's new status."""
        if task.id in self.fresh:
            task.status = status  # nobody else sees it before the commit
        else:
            self.changes.statuses[task.id] = status

    def extras(self, task: Task) -> Extras:
        return self.changes.extras.get(task.id) or task.extras

    def set_extras(self, task: Task, extras: Extras) -> None:
        if task.id in self.fresh:
            task.extras = extras
        else:
            self.changes.extras[task.id] = extras

    def move(self, task: Task, cause: Cause) -> Status:
        """A new status of the task, moved on by `cause` now. The caller may fill in the rest before the next line."""
        cluster = self.cluster
        status = self.status(task).copy()
        old, new = status.state, advance(status.state, cause, task.id)
        status.state, status.at = new, self.now
        self._leave(task, old, new)
        if new is State.QUEUED:
            cluster.stand(task, status, first=cause is Cause.RETURN, again=cause in AGAIN)
        self.put(task, status)
        if task.extras is not NO_EXTRAS:
            self._move_extras(task, old, new)
        if cluster.rollbacks:
            rollback.moved(self, task, old, new)
        if new in OVER:
            if task.id in cluster.missing:
                cluster.wait_no_more(task, () if task.extras is NO_EXTRAS else self._before(task))
            if task.deadline is not None:
                cluster.deadlines.forget(task)
            if task.extras.every:
                cluster.recurring.pop(task, None)
            if cluster.plans:
                cluster.unplan(task)
        return status

    def _leave(self, task: Task, old: State, new: State) -> None:
        """What was known of the task in its old state is not true any more."""
        if old is State.RUNNING:
            return
        if old is State.QUEUED:
            self.cluster.blocked.pop(task.id, None)
            # A started task was taken from its queue by the placement, and one that conflicts stands in none.
            if new is not State.RUNNING and task not in self.cluster.conflicts.blocked:
                self.cluster.ready.remove(task)
        elif old is State.PENDING and self.cluster.coming.tasks:
            self.cluster.coming.tasks.pop(task, None)

    def _move_extras(self, task: Task, old: State, new: State) -> None:
        """What a change of state means for the others in its lines, in its graph and in its series."""
        cluster = self.cluster
        if old in STANDING and new not in STANDING:
            for other in cluster.conflicts.leave(task, self.now):
                freed = self.status(other)
                cluster.ready.push(other, freed.priority, freed.at)
        if new in OVER:
            if task.id in cluster.missing:
                self._bequeath(task)
            if self.extras(task).recurs:
                self.recurred.append(task)

    def _bequeath(self, task: Task) -> None:
        """A task ends before its turn came in its graph: who waited for it waits for those whom it has waited for, so
        that the order of the others holds."""
        dependents = self.cluster.dependents
        names = [name for name in self._before(task) if task in dependents.get(name, ())]
        for heir in dependents.get(task.id, ()) if names else ():
            if task.id in heir.after:
                continue  # it is skipped
            kept = self._heirs.setdefault(heir, {})
            for name in names:
                if heir not in dependents[name]:
                    dependents[name][heir] = None
                    self.cluster.missing[heir.id] += 1
                    kept[name] = None

    def _before(self, task: Task) -> tuple[str, ...]:
        """Who comes before the task in its graph."""
        return (*self.extras(task).behind, *self._heirs.get(task, ()))

    def settle_heirs(self) -> None:
        """At the end of the batch: make durable who waits for whom, once for each heir."""
        dependents = self.cluster.dependents
        for heir, names in self._heirs.items():
            if names and self.status(heir).state not in OVER:
                open_ones = (name for name in self._before(heir) if heir in dependents.get(name, ()))
                self.set_extras(heir, replace(self.extras(heir), behind=tuple(open_ones)))

    # --- attempts

    def start(self, task: Task, slot: Slot, expected: float, upper: float) -> None:
        """Start the task's next attempt in a slot whose reservation stands. `expected` and `upper`: the seconds that it
        will take, and those that it takes at most (infinite: nobody knows)."""
        status = self.move(task, Cause.START)
        status.number += 1
        status.reason, status.error = None, ""
        if task.terms.kind is Kind.LEASE:
            attempt = self._occupy(task, status, slot, expected, upper)
            self._grant(task, status, Attempt(attempt, slot.id, slot.node, self._next_grant(), slot.devices))
            return
        self._launch(self._occupy(task, status, slot, expected, upper), slot)

    def start_copy(self, task: Task, slot: Slot, expected: float, upper: float) -> None:
        """Start one more attempt of a task that runs, beside the others."""
        status = self.status(task).copy()
        status.number += 1
        self.put(task, status)
        self._launch(self._occupy(task, status, slot, expected, upper), slot)

    def _occupy(self, task: Task, status: Status, slot: Slot, expected: float, upper: float) -> AttemptId:
        cluster = self.cluster
        attempt = AttemptId(task.id, status.number)
        slot.add(attempt, expected, self.now, upper)
        cluster.slot_of[attempt] = slot.id
        if task.id in cluster.dependents:
            cluster.coming.look_at(cluster, task.id, self.status)
        if len(slot.attempts) == 1:
            self._lead(slot)
        if task.extras is not NO_EXTRAS and task.extras.has_copies:
            cluster.copies.began(attempt)
        return attempt

    def _launch(self, attempt: AttemptId, slot: Slot) -> None:
        self.changes.started.append(Attempt(attempt, slot.id, slot.node, self.now, slot.devices))
        launch = self._launches.get(slot.id)
        if launch is None:
            self._launches[slot.id] = [attempt]
        else:
            launch.append(attempt)

    def _grant(self, task: Task, status: Status, attempt: Attempt) -> None:
        """Nothing is launched for a lease: from now on it is held, until it lapses."""
        self.changes.started.append(attempt)
        status.due = self.now + (task.terms.timeout or 0.0)
        self.cluster.wake(status.due, task=task)

    def _next_grant(self) -> float:
        """The time of a grant, which is its fence: now, or a microsecond after the last one."""
        self.cluster.last_grant = max(int(self.now * MICRO), self.cluster.last_grant + 1)
        return self.cluster.last_grant / MICRO

    def current(self, attempt: AttemptId) -> Task | None:
        """The task whose running attempt this is; None for a report that comes too late: the fence."""
        task = self.task(attempt.task)
        if task is None or attempt not in self.cluster.slot_of or self.status(task).state is not State.RUNNING:
            return None
        return task

    def leave_slot(self, attempt: AttemptId, at: float | None = None) -> None:
        """The attempt no longer holds its place; an empty slot gives its reservation back. `at`: when it ended, where
        that is known; whoever stood behind it runs since then."""
        cluster = self.cluster
        slot = cluster.slots[cluster.slot_of.pop(attempt)]
        at = self.now if at is None else min(max(at, slot.since), self.now)
        cluster.stopping.discard(attempt)
        if slot.still_since is not None:
            cluster.slices.take_back_cpus(cluster, slot)
        if cluster.copies.living:
            cluster.copies.left(attempt)
        if slot.drop(attempt, at):
            if cluster.slices.quantum:
                cluster.slices.leave(slot)
            del cluster.slots[slot.id]
            cluster.hungry.pop(slot.id, None)
            room = cluster.rooms[slot.node]
            del room.slots[slot.id]
            room.give_back(slot.terms.needs)
            if slot.devices:
                warm.vacate(cluster, slot)
        else:
            self._lead(slot)
            cluster.hungry[slot.id] = slot

    def _lead(self, slot: Slot) -> None:
        """Another call is the first of the slot. Shortly before its end the next one may be sent there, so that the
        worker has it when it is free, and need not wait for a commit."""
        cluster = self.cluster
        if cluster.slices.quantum:
            cluster.slices.begin(slot, self.now)
        if slot.is_foreseen and cluster.ready:
            cluster.wake(slot.since + slot.expected - STAND_BY, slot=slot.id)

    def end(self, event: Ended) -> None:
        self.changes.ended.append(event)
        self._settled.append(event.attempt)

    def give_back(self, attempt: AttemptId) -> None:
        self.changes.returned.append(attempt)

    def settle(self, attempt: AttemptId) -> None:
        """Nobody waits for this report: the executor may forget it."""
        self._settled.append(attempt)

    def stop(self, attempt: AttemptId, reason: Reason | None) -> None:
        """Ask once for the end of an attempt."""
        if attempt not in self.cluster.stopping:
            self.cluster.stopping.add(attempt)
            self.stops.append(Stop(attempt, reason))

    def effects(self) -> list[Effect]:
        """Settle first (it frees), then stop, make way, recall and evict, then go on and launch."""
        effects: list[Effect] = []
        if self._settled:
            effects.append(Settle(tuple(self._settled)))
        effects += self.stops
        effects += self.pauses
        effects += self.recalls
        effects += self.evictions
        effects += self.continues
        for slot_id, attempts in self._launches.items():
            slot = self.cluster.slots[slot_id]
            effects.append(Launch(slot_id, slot.node, slot.terms, tuple(attempts), slot.devices))
        return effects
