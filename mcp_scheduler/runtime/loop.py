"""The engine's loop: inbox → decide → commit → effects and answers.

While one transaction is written, further events gather and become the next one: group commit comes by itself. Nothing
is answered and no effect is carried out before the change behind it is durable.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable

from mcp_scheduler import errors
from mcp_scheduler.core.changes import Changes, Stop
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.decide import Decision, decide, resume
from mcp_scheduler.core.events import (
    Began,
    CancelAsked,
    DeviceWithheld,
    Ended,
    Event,
    NodeChanged,
    PolicyChosen,
    QuarantineLifted,
    QueuePaused,
    Returned,
    SlotGone,
    Submitted,
    UpdateAsked,
)
from mcp_scheduler.core.states import FINAL, State
from mcp_scheduler.core.task import Kind, Status
from mcp_scheduler.ports import Clock, Progress, Store
from mcp_scheduler.runtime import journal
from mcp_scheduler.runtime.effects import Effects
from mcp_scheduler.runtime.watch import Watch

log = logging.getLogger("mcp_scheduler.loop")

Request = (
    Submitted | CancelAsked | UpdateAsked | NodeChanged | DeviceWithheld | QuarantineLifted | PolicyChosen | QueuePaused
)
LONGEST_WAIT = 30.0  # seconds; the event loop's own timers stand still while the machine sleeps, the clock does not
_RETRY_SECONDS = 1.0  # after a commit that failed: reports wait so long for the next try


class Loop:
    """Owns the cluster. Everything that changes it goes through `ask` (and waits) or `report` (and does not)."""

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        effects: Effects,
        clock: Clock,
        watch: Watch,
        batch_seconds: float = 0.0,
    ) -> None:
        self.cluster = cluster
        self.progress: dict[str, Progress] = {}
        self.trouble = ""  # why the store cannot be written just now
        self._store = store
        self._effects = effects
        self._clock = clock
        self._watch = watch
        self._batch_seconds = batch_seconds
        self._next_turn = -math.inf  # by the event loop's own time
        self._inbox: list[tuple[Event, asyncio.Future[None] | None]] = []
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._stopping = False
        self.on_commit: list[Callable[[Changes], None]] = []
        self.on_progress: list[Callable[[Progress], None]] = []

    async def ask(self, event: Request) -> None:
        """Have the event decided and its changes made durable. Raises why not."""
        if self._stopping:
            raise errors.ShuttingDown
        future = asyncio.get_running_loop().create_future()
        self._inbox.append((event, future))
        self._wake.set()
        # Its caller may be cancelled: the request is on its way into the store all the same, and cannot be taken back.
        await future

    def report(self, event: Event | Progress) -> None:
        """What the executor has to say. Progress is told to whoever asks and never stored."""
        if isinstance(event, Progress):
            if event.attempt in self.cluster.attempts:
                self.progress[event.attempt.task] = event
                for listener in self.on_progress:
                    listener(event)
            return
        self._inbox.append((event, None))
        self._wake.set()

    def stop_asked_again(self) -> None:
        """On boot: wishes of an earlier life that are still open."""
        for attempt, reason in resume(self.cluster):
            self.cluster.stopping.add(attempt)
            self._effects.carry_out([Stop(attempt, reason)])

    def wake(self) -> None:
        """Decide once more, though nothing was reported: after boot there may be something to place."""
        self._wake.set()

    async def run(self) -> None:
        """Until `stop`. The turn that begins after it is the last: who has asked is answered, but with short work in
        the queue reports would go on coming as long as there is any. The executor keeps them for the next engine."""
        last = False
        while not last:
            self._set_timer()
            if self._wake.is_set():  # a turn may have waited for nothing, not for the disk either
                await asyncio.sleep(0)
            await self._wake.wait()
            await self._gather()
            self._wake.clear()
            last = self._stopping
            batch, self._inbox = self._inbox, []
            if not await self._turn(batch):
                if self._stopping:  # what was reported is kept by the executor: the next engine hears it
                    self._fail(self._inbox, errors.ShuttingDown(), keep=False)
                    return
                self._set_timer(_RETRY_SECONDS)
                await self._wake.wait()

    async def _gather(self) -> None:
        """Where a time between two turns was asked for, let what comes meanwhile join the next one."""
        if self._batch_seconds and not self._stopping:
            clock = asyncio.get_running_loop()
            await asyncio.sleep(max(0.0, self._next_turn - clock.time()))
            self._next_turn = clock.time() + self._batch_seconds

    def stop(self) -> None:
        """Finish what is in the inbox, take nothing more."""
        self._stopping = True
        self._wake.set()

    def _set_timer(self, delay: float | None = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if delay is None:
            due = self.cluster.next_due()
            if due is None:
                return
            delay = min(max(0.0, due - self._clock.now()), LONGEST_WAIT)
        self._timer = asyncio.get_running_loop().call_later(delay, self._wake.set)

    async def _turn(self, batch: list[tuple[Event, asyncio.Future[None] | None]]) -> bool:
        """One batch. False when its changes could not be stored: reports are kept for the next try."""
        now = self._clock.now()
        try:
            decision = decide(self.cluster, [event for event, _ in batch], now)
            if decision.changes:
                await self._store.commit(decision.changes)
        except errors.Unavailable as error:
            log.error("Commit failed: %s", error)  # noqa: TRY400 - the store has logged the cause
            self.trouble = str(error)
            self._fail(batch, error, keep=True)
            return False
        except errors.SchedulerError as error:
            log.exception("A rule was broken; everything derived is built anew.")
            return await self._turn_alone(batch, error)
        if decision.changes:
            self.trouble = ""
            self.cluster.apply(decision.changes)
        # Workers first: they begin while callers are answered.
        self._effects.committed(decision.changes)
        self._effects.carry_out(decision.effects)
        self._answer(batch, decision)
        self._publish(decision.changes)
        if decision.changes:
            journal.tell(decision.changes, self._clock.now() - now)
        return True

    async def _turn_alone(
        self, batch: list[tuple[Event, asyncio.Future[None] | None]], error: errors.SchedulerError
    ) -> bool:
        """One event that breaks a rule must not take the others of its batch with it: each gets a turn of its own."""
        if len(batch) <= 1:
            self._fail(batch, error, keep=False)
            return True
        self.cluster.rebuild()
        for index, one in enumerate(batch):
            if not await self._turn([one]):
                self._inbox[:0] = batch[index + 1 :]
                return False
        return True

    def _fail(
        self, batch: list[tuple[Event, asyncio.Future[None] | None]], error: errors.SchedulerError, *, keep: bool
    ) -> None:
        """Back to the facts. Callers are told; reports of attempts are true whatever the disk says, so they wait."""
        self.cluster.rebuild()
        kept: list[tuple[Event, asyncio.Future[None] | None]] = []
        for event, future in batch:
            if future is not None:
                if not future.done():
                    future.set_exception(error)
            elif keep and isinstance(event, Ended | Returned | Began | SlotGone):
                kept.append((event, None))
        self._inbox[:0] = kept

    def _answer(self, batch: list[tuple[Event, asyncio.Future[None] | None]], decision: Decision) -> None:
        for index, (_, future) in enumerate(batch):
            if future is None or future.done():
                continue
            refusal = decision.refused.get(index)
            if refusal is None:
                future.set_result(None)
            else:
                future.set_exception(errors.DuplicateKey(refusal[1]))

    def _publish(self, changes: Changes) -> None:
        ended = [
            task_id
            for task_id, status in changes.statuses.items()
            if status.state in FINAL or self._is_granted(task_id, status)
        ]
        ended += [new.task.id for new in changes.added if new.task.status.state in FINAL]
        for attempt in changes.ended:
            self.progress.pop(attempt.attempt.task, None)
        groups = {task.group for name in ended if (task := self.cluster.tasks.get(name)) is not None and task.group}
        self._watch.ended([*ended, *groups])
        for listener in self.on_commit:
            listener(changes)

    def _is_granted(self, task_id: str, status: Status) -> bool:
        """A lease is waited for until it is held."""
        return status.state is State.RUNNING and self.cluster.tasks[task_id].terms.kind is Kind.LEASE
