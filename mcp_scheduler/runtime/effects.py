"""Carrying out what was decided, after the commit: launches with their arguments put together, stops, settlements."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

from mcp_scheduler.core.changes import Changes, Continue, Effect, Evict, Launch, Pause, Recall, Settle, Stop
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.events import Ended, Event, Outcome, Returned
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.states import FINAL, Reason
from mcp_scheduler.errors import SchedulerError, Unavailable
from mcp_scheduler.ports import Clock, Executor
from mcp_scheduler.runtime.payloads import Payloads

log = logging.getLogger("mcp_scheduler.effects")

_AGAIN = 1.0  # seconds until a store that could not be read is asked again


class Effects:
    """Every effect is idempotent and named by its attempt; what it causes comes back as events."""

    def __init__(
        self,
        cluster: Cluster,
        executor: Executor,
        payloads: Payloads,
        clock: Clock,
        report: Callable[[Event], None],
    ) -> None:
        self._cluster = cluster
        self._executor = executor
        self._payloads = payloads
        self._clock = clock
        self._report = report
        self._preparing: set[AttemptId] = set()
        self._unwanted: set[AttemptId] = set()  # stopped while their arguments were still being fetched
        self._fetches: set[asyncio.Task[None]] = set()

    def committed(self, changes: Changes) -> None:
        """Keep the arguments of what arrived at hand, and drop those of what has ended."""
        for new in changes.added:
            if new.task.status.state not in FINAL and not new.like:
                self._payloads.keep(new.task.id, new.payload)
        for task_id, status in changes.statuses.items():
            if status.state in FINAL:
                self._payloads.drop(task_id)
        for ended in changes.ended:
            if ended.outcome.reason is None and ended.outcome.result is not None:
                self._payloads.keep_result(ended.attempt.task, ended.outcome.result)

    def carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Launch():
                    self._launch(effect)
                case Stop():
                    self._stop(effect)
                case Pause():
                    self._pause(effect)
                case Continue():
                    self._executor.proceed(effect.attempt)
                case Recall():
                    self._executor.recall(effect.slot)
                case Evict():
                    self._executor.evict(effect.slot)
                case Settle():
                    self._executor.settle(effect.attempts)
        # At once: whoever waits for this decision, or the next one, would go before the loop's next round.
        self._executor.flush()

    def _launch(self, launch: Launch) -> None:
        """At once where every argument is at hand; otherwise when they have been fetched."""
        at_hand: dict[AttemptId, bytes] = {}
        for attempt in launch.attempts:
            payload = self._payloads.at_hand(self._cluster.tasks[attempt.task])
            if payload is None:
                break
            at_hand[attempt] = payload
        else:
            self._executor.launch(launch, at_hand)
            return
        self._preparing.update(launch.attempts)
        fetch = asyncio.get_running_loop().create_task(self._fetch_and_launch(launch), name=f"fetch {launch.slot}")
        self._fetches.add(fetch)
        fetch.add_done_callback(self._fetches.discard)

    async def _fetch_and_launch(self, launch: Launch) -> None:
        found: dict[AttemptId, bytes] = {}
        known = self._cluster.tasks
        with contextlib.suppress(SchedulerError):  # then each is fetched by itself, and says what is wrong
            await self._payloads.load([known[one.task] for one in launch.attempts if one.task in known])
        for attempt in launch.attempts:
            try:
                found[attempt] = await self._fetch(attempt)
            except SchedulerError as error:
                outcome = Outcome(reason=Reason.REJECTED, error=str(error))
                self._report(Ended(attempt, self._clock.now(), outcome))
            except Exception:
                log.exception("The arguments of %s could not be put together.", attempt)
                outcome = Outcome(
                    reason=Reason.REJECTED, error="Its arguments could not be read; see the engine's log."
                )
                self._report(Ended(attempt, self._clock.now(), outcome))
        self._preparing.difference_update(launch.attempts)
        for attempt in [name for name in found if name in self._unwanted]:
            del found[attempt]
            self._report(Returned(attempt))
        self._unwanted.difference_update(launch.attempts)
        if found:
            wanted = Launch(launch.slot, launch.node, launch.terms, tuple(found), launch.devices)
            self._executor.launch(wanted, found)
        elif launch.devices:
            self._executor.evict(launch.slot)  # nothing was started there: its devices are free

    async def _fetch(self, attempt: AttemptId) -> bytes:
        """The call, as soon as the store can be read: a disk that is busy is no fault of the task."""
        while True:
            try:
                return await self._payloads.fetch(self._cluster.tasks[attempt.task])
            except Unavailable as error:
                log.warning("The arguments of %s cannot be read just now: %s", attempt, error)
                await asyncio.sleep(_AGAIN)

    def _pause(self, pause: Pause) -> None:
        if pause.attempt in self._preparing:
            self._unwanted.add(pause.attempt)  # it comes back unbegun
        else:
            self._executor.pause(pause.attempt)

    def _stop(self, stop: Stop) -> None:
        if stop.attempt in self._preparing:
            self._unwanted.add(stop.attempt)
        else:
            self._executor.stop(stop.attempt, stop.reason)
