"""One batch in the making: the cluster as it will be, the changes that make it so, and the effects that follow."""

from __future__ import annotations

from mcp_scheduler.core import warm
from mcp_scheduler.core.changes import Changes, Effect, Evict, Launch, Recall, Settle, Stop
from mcp_scheduler.core.cluster import MICRO, Cluster
from mcp_scheduler.core.events import Ended
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Attempt
from mcp_scheduler.core.slots import Slot
from mcp_scheduler.core.states import FINAL, Cause, Reason, State, advance
from mcp_scheduler.core.task import Kind, Status, Task


class Draft:
    """Facts are read through the draft, so that a batch sees its own changes before anybody else does."""

    __slots__ = ("_launches", "_settled", "changes", "cluster", "evictions", "fresh", "keys", "now", "recalls", "stops")

    def __init__(self, cluster: Cluster, now: float) -> None:
        self.cluster = cluster
        self.now = now
        self.changes = Changes()
        self.fresh: dict[str, Task] = {}  # tasks that arrived in this batch
        self.keys: dict[tuple[str, str], str] = {}  # idempotency keys that they brought
        self.stops: list[Stop] = []
        self.recalls: list[Recall] = []
        self.evictions: list[Evict] = []
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

    def move(self, task: Task, cause: Cause) -> Status:
        """A new status of the task, moved on by `cause` now. The caller may fill in the rest before the next line."""
        old = self.status(task)
        status = old.copy()
        status.state = advance(old.state, cause, task.id)
        status.at = self.now
        if old.state is State.QUEUED:
            self.cluster.blocked.pop(task.id, None)
            if status.state is not State.RUNNING:  # a started task was taken from its queue by the placement
                self.cluster.ready.remove(task)
        elif status.state is State.QUEUED:
            self.cluster.ready.push(task, status.priority, self.now, first=cause is Cause.RETURN)
        if status.state in FINAL:
            self.cluster.wait_no_more(task)
            if self.cluster.plans:
                self.cluster.unplan(task)
        self.put(task, status)
        return status

    # --- attempts

    def start(self, task: Task, slot: Slot, expected: float, upper: float) -> None:
        """Start the task's next attempt in a slot whose reservation stands. `expected` and `upper`: the seconds that it
        will take, and those that it takes at most (infinite: nobody knows)."""
        old = self.status(task)
        status = self.move(task, Cause.START)
        status.number = old.number + 1
        status.reason, status.error = None, ""
        attempt = AttemptId(task.id, status.number)
        slot.add(attempt, expected, self.now, upper)
        self.cluster.slot_of[attempt] = slot.id
        if task.terms.kind is Kind.LEASE:
            self._grant(task, status, Attempt(attempt, slot.id, slot.node, self._next_grant(), slot.devices))
            return
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
        if task is None:
            return None
        status = self.status(task)
        if status.state is not State.RUNNING or status.number != attempt.number:
            return None
        return task

    def leave_slot(self, attempt: AttemptId) -> None:
        """The attempt no longer holds its place; an empty slot gives its reservation back."""
        cluster = self.cluster
        slot = cluster.slots[cluster.slot_of.pop(attempt)]
        cluster.stopping.discard(attempt)
        if slot.drop(attempt, self.now):
            del cluster.slots[slot.id]
            cluster.hungry.pop(slot.id, None)
            room = cluster.rooms[slot.node]
            del room.slots[slot.id]
            room.give_back(slot.terms.needs)
            if slot.devices:
                warm.vacate(cluster, slot)
        else:
            cluster.hungry[slot.id] = slot

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
        """Settle first (it frees), then stop, recall and evict, then launch."""
        effects: list[Effect] = []
        if self._settled:
            effects.append(Settle(tuple(self._settled)))
        effects += self.stops
        effects += self.recalls
        effects += self.evictions
        for slot_id, attempts in self._launches.items():
            slot = self.cluster.slots[slot_id]
            effects.append(Launch(slot_id, slot.node, slot.terms, tuple(attempts), slot.devices))
        return effects
