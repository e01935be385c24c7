"""The world of a simulated engine: processes that live on when it dies, and what it would be told of them.

The world knows what really happened, and protests where a promise is broken: two attempts of one task alive, more begun
than there is room for, a call begun again that nobody allowed to be repeated.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mcp_scheduler.core.changes import Continue, Effect, Evict, Launch, Pause, Recall, Settle, Stop
from mcp_scheduler.core.events import Began, Ended, Event, Outcome, Returned, SlotGone
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Attempt
from mcp_scheduler.core.retry import CRASH_LIMIT, LOSS_LIMIT, MEMORY_RETRIES
from mcp_scheduler.core.states import Reason
from mcp_scheduler.core.task import Kind, Terms
from tests.simulation.turns import Turns
from tests.simulation.workers import Workers


@dataclass
class Past:
    """What has really been done for a task since a person last asked for it. `free_at`: no attempt before that.
    `copies`: so many attempts may live at once; where there are several, `Twins` notes how a round ended."""

    terms: Terms
    begun: int = 0
    succeeded: bool = False
    bad: Counter[Reason] = field(default_factory=Counter)
    free_at: float = 0.0
    copies: int = 1

    def told(self, reason: Reason | None, now: float) -> None:
        """An attempt has ended. Of several only the success counts by itself."""
        if reason is None or self.copies == 1:
            self.note(reason, now)

    def note(self, reason: Reason | None, now: float) -> None:
        if reason is None:
            self.succeeded = True
            return
        if reason is Reason.YIELDED:
            return
        self.bad[reason] += 1
        retry, tries = self.terms.retry, self.bad.total()
        full = min(retry.max_delay, retry.delay * retry.factor ** (tries - 1))
        self.free_at = now + full * (1.0 - retry.jitter)

    def may_run_again(self) -> bool:
        retry = self.terms.retry
        failures = self.bad.total() - self.bad[Reason.LOST] - self.bad[Reason.CRASHED]
        grown = 0  # repeated with a larger claim on memory: not counted as failures
        if retry.max_attempts > 1 and {Reason.OUT_OF_MEMORY, Reason.ERROR} & retry.on:
            grown = min(self.bad[Reason.OUT_OF_MEMORY], MEMORY_RETRIES)
        failures -= grown
        return not self.succeeded and all(
            (retry.max_attempts > 1 and reason in retry.on)
            or (reason is Reason.OUT_OF_MEMORY and self.bad[reason] == grown)
            or (self.terms.idempotent and reason in (Reason.LOST, Reason.CRASHED))
            for reason in self.bad
        ) and (
            failures < max(retry.max_attempts, 1)
            and self.bad[Reason.CRASHED] < CRASH_LIMIT
            and self.bad[Reason.LOST] < LOSS_LIMIT
        )  # fmt: skip


class World:
    """Slots with calls that wait in them, one of each alive at most; ends that nobody settled; reports on their way."""

    def __init__(self) -> None:
        self.capacity: dict[str, dict[str, int]] = {}  # of each node
        self.slots: dict[str, list[AttemptId]] = {}
        self.needs: dict[str, dict[str, int]] = {}  # slot → what it holds
        self.node_of: dict[str, str] = {}  # slot → node
        self.workers = Workers()
        self.alive: dict[AttemptId, str] = {}  # → slot
        self.stopping: dict[AttemptId, Reason | None] = {}
        self.ends: dict[AttemptId, Ended] = {}
        self.inbox: list[Event] = []
        self.told: list[Event] = []  # every report ever made: they may come again
        self.past: dict[str, Past] = {}
        self.began_at: dict[AttemptId, float] = {}  # of every call that ever began
        self.ever_launched: set[AttemptId] = set()
        self.turns = Turns()
        self.set_back = False  # the clock ever was: spans of time say nothing

    # --- the executor

    def carry_out(self, effect: Effect, now: float) -> None:
        match effect:
            case Launch():
                self._launch(effect, now)
            case Stop(attempt, reason):
                self._stop(attempt, reason, now)
            case Pause(attempt):
                self._pause(attempt, now)
            case Continue(attempt):
                self._proceed(attempt, now)
            case Recall(slot):
                self._recall(slot)
            case Evict(slot):
                self._evict(slot)
            case Settle(attempts):
                for attempt in attempts:
                    self.ends.pop(attempt, None)

    def _recall(self, slot: str) -> None:
        for attempt in [one for one in self.slots.get(slot, ()) if one not in self.alive]:
            self._leave(attempt, slot)
            self.report(Returned(attempt))

    def _evict(self, slot: str) -> None:
        if slot in self.workers.alive:
            self.workers.told.add(slot)
        else:
            self.inbox.append(SlotGone(slot))

    def _launch(self, launch: Launch, now: float) -> None:
        for attempt in launch.attempts:
            assert attempt not in self.ever_launched, f"{attempt} was launched twice."
            self.ever_launched.add(attempt)
            past = self.past[attempt.task]
            assert now >= past.free_at - 1e-6, f"{attempt} was started at {now}, before {past.free_at}."
        if launch.slot not in self.slots:
            self.needs[launch.slot] = dict(launch.terms.needs.amounts)
            self.node_of[launch.slot] = launch.node
            self._assert_room(launch.slot)
        self.slots.setdefault(launch.slot, []).extend(launch.attempts)
        self.workers.launch(launch)

    def _assert_room(self, slot: str) -> None:
        """What the slot asks for is there. (What was there before may be too much for a node that has shrunk.)"""
        node = self.node_of[slot]
        beside = {one: held for one, held in self.needs.items() if self.node_of[one] == node}
        for name in self.needs[slot]:
            used = sum(self.turns.held(self.slots.get(one, []), held, name) for one, held in beside.items())
            there = self.capacity[node].get(name, 0)
            assert used <= there, f"Overbooked: {used} of {there} {name} of {node}."

    def _pause(self, attempt: AttemptId, now: float) -> None:
        if attempt not in self.alive:
            self._take_back(attempt)
        elif self.past[attempt.task].terms.kind is Kind.COMMAND:
            self.turns.pause(attempt, now)
        else:
            self.turns.asked.add(attempt)

    def _proceed(self, attempt: AttemptId, now: float) -> None:
        if attempt in self.alive:  # else it has not begun when it was paused, and came back
            self.turns.proceed(attempt, now)
            self._assert_room(self.alive[attempt])

    def _stop(self, attempt: AttemptId, reason: Reason | None, now: float) -> None:
        if attempt in self.alive:
            if reason is Reason.TIMEOUT and not self.set_back:
                timeout = self.past[attempt.task].terms.timeout
                self.turns.look_at_timeout(attempt, self.began_at[attempt], timeout, now)
            self.stopping[attempt] = reason
            return
        self._take_back(attempt)

    def _take_back(self, attempt: AttemptId) -> None:
        """It has not begun."""
        for slot, attempts in list(self.slots.items()):
            if attempt in attempts:
                self._leave(attempt, slot)
                self.report(Returned(attempt))

    def recover(self, attempts: list[Attempt], now: float) -> None:
        """Answer a new engine, which asks for these. What it finds alive and not asked for is ended."""
        wanted = sorted(attempt.id for attempt in attempts)
        for attempt in [one for one in self.alive if one not in wanted]:
            self._leave(attempt, self.alive[attempt])
        for attempt in [one for one in self.ends if one not in wanted]:
            del self.ends[attempt]
        self.workers.engine_dies(self.slots)
        for attempt in wanted:
            if attempt in self.ends:
                self.report(self.ends[attempt])
            elif attempt in self.alive:
                self.report(Began(attempt, self.began_at[attempt] + self.turns.stood.get(attempt, 0.0)))
            elif attempt in self.began_at:
                self.past[attempt.task].told(Reason.LOST, now)
                self.ends[attempt] = Ended(attempt, now, Outcome(Reason.LOST, "Nobody knows."))
                self.report(self.ends[attempt])
            else:
                self.report(Returned(attempt))

    # --- what happens by itself

    def begin(self, slot: str, now: float) -> None:
        """The slot's next call begins, if none of it is alive."""
        attempt = next(iter(self.slots[slot]))
        if attempt in self.alive:
            return
        others = [one for one in self.alive if one.task == attempt.task]
        past = self.past[attempt.task]
        assert len(others) < past.copies, f"{attempt} begins while {others} is alive."
        allowed = past.copies > 1 or past.may_run_again()
        assert allowed, f"{attempt} repeats work that ended {dict(past.bad)} ({past.succeeded})."
        past.begun += 1
        self.alive[attempt] = slot
        self.began_at[attempt] = now
        self.report(Began(attempt, now))

    def end(self, attempt: AttemptId, outcome: Outcome, now: float) -> None:
        """A living call ends, and its record is written."""
        assert attempt in self.stopping or attempt not in self.turns.still, f"{attempt} stands still."
        if attempt in self.stopping:
            outcome = Outcome(self.stopping[attempt] or Reason.CANCELLED, "It was stopped.")
        slot = self.alive[attempt]
        self._leave(attempt, slot)
        self.past[attempt.task].told(outcome.reason, now)
        self.ends[attempt] = Ended(attempt, now, outcome)
        self.report(self.ends[attempt])
        if outcome.reason is Reason.CRASHED and slot in self.workers.idle(self.slots):
            self._worker_ends(slot)

    def worker_goes(self, pick: int) -> None:
        """A worker without a call ends: it was told to, or dies."""
        idle = self.workers.idle(self.slots)
        told = [slot for slot in idle if slot in self.workers.told]
        if idle:
            choices = told or idle
            self._worker_ends(choices[pick % len(choices)])

    def _worker_ends(self, slot: str) -> None:
        self.workers.end(slot)
        self.inbox.append(SlotGone(slot))

    def engine_dies(self, now: float) -> None:
        """Living calls go on, those that stood still, too; what they would have been handed next is void, and so is
        what was on its way."""
        self.inbox.clear()
        self.turns.engine_dies(now)
        for slot, attempts in list(self.slots.items()):
            for attempt in [one for one in attempts if one not in self.alive]:
                self._leave(attempt, slot)

    def vanish(self, attempt: AttemptId) -> None:
        """A living call is gone without a record, as after a power loss. Only while no engine looks."""
        self._leave(attempt, self.alive[attempt])

    def report(self, event: Event) -> None:
        self.inbox.append(event)
        self.told.append(event)

    def _leave(self, attempt: AttemptId, slot: str) -> None:
        self.alive.pop(attempt, None)
        self.turns.over(attempt)
        kind = self.past[attempt.task].terms.kind
        if slot in self.slots:
            self.slots[slot].remove(attempt)
            if not self.slots[slot]:
                del self.slots[slot], self.needs[slot], self.node_of[slot]
                if kind is not Kind.FUNCTION:
                    self.workers.end(slot)
