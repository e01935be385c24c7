"""The executor of a simulation: calls take the time that the trace says, on a clock that is moved by hand."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from typing import Final, NamedTuple

from mcp_scheduler.core.changes import Continue, Effect, Evict, Launch, Pause, Recall, Settle, Stop
from mcp_scheduler.core.events import Ended, Event, Outcome, Returned, SlotGone
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.states import Reason
from mcp_scheduler.core.task import Kind
from mcp_scheduler.errors import InvariantBroken

NEVER: Final = float("inf")


class End(NamedTuple):
    """A call comes to its end by itself, `order` telling ends of one moment apart."""

    at: float
    order: int
    attempt: AttemptId


class VirtualExecutor:
    """Slots with the calls that wait in them; the first of each runs. `begin` is told when a call does, and answers
    how many seconds it takes. Reports gather in `inbox` until somebody takes them. A paused call stands still if its
    slot can; a function runs on.
    """

    def __init__(self, begin: Callable[[AttemptId, float], float]) -> None:
        self.inbox: list[Event] = []
        self._begin = begin
        self._slots: dict[str, deque[AttemptId]] = {}
        self._running: dict[AttemptId, tuple[str, float]] = {}  # → slot, when it began
        self._slot_of: dict[AttemptId, str] = {}
        self._still: dict[AttemptId, tuple[float, float]] = {}  # → since when, seconds that it still has to run
        self._due: dict[AttemptId, float] = {}  # when each ends that runs
        self._ends: list[End] = []
        self._commands: set[AttemptId] = set()
        self._count = 0

    @property
    def next_end(self) -> float:
        """When the next call ends; infinite if none does."""
        while self._ends and self._due.get(self._ends[0].attempt) != self._ends[0].at:
            heappop(self._ends)  # it was stopped, or has stood still
        return self._ends[0].at if self._ends else NEVER

    def stands_still(self, attempt: AttemptId) -> bool:
        """Whether it has been paused in the middle."""
        return attempt in self._still

    def advance(self, now: float) -> None:
        """Time has passed: calls whose time is over end."""
        while self.next_end <= now:
            attempt = heappop(self._ends).attempt
            self._end(attempt, now, None)

    def carry_out(self, effect: Effect, now: float) -> None:
        """Do what was decided. A kind of effect that is not known here is a defect of the program."""
        match effect:
            case Launch():
                self._launch(effect, now)
            case Stop(attempt, reason):
                self._stop(attempt, reason or Reason.CANCELLED, now)
            case Pause(attempt):
                self._pause(attempt, now)
            case Continue(attempt):
                self._proceed(attempt, now)
            case Recall(slot):
                for attempt in list(self._waiting(slot)):
                    self._hand_back(attempt)
            case Evict(slot):
                self.inbox.append(SlotGone(slot))
            case Settle():
                pass  # nothing is kept of what has ended
            case _:
                raise InvariantBroken(f"A simulation does not know how to carry out {effect!r}.")

    def _launch(self, launch: Launch, now: float) -> None:
        calls = self._slots.setdefault(launch.slot, deque())
        if launch.terms.kind is Kind.COMMAND:
            self._commands.update(launch.attempts)
        for attempt in launch.attempts:
            calls.append(attempt)
            self._slot_of[attempt] = launch.slot
        self._go_on(launch.slot, now)

    def _waiting(self, slot: str) -> Iterator[AttemptId]:
        return (attempt for attempt in self._slots.get(slot, ()) if attempt not in self._running)

    def _go_on(self, slot: str, now: float) -> None:
        """The first call of the slot begins, if it has not yet."""
        calls = self._slots[slot]
        if not calls:
            del self._slots[slot]
        elif calls[0] not in self._running:
            attempt = calls[0]
            self._running[attempt] = (slot, now)
            self._end_at(attempt, now + self._begin(attempt, now))

    def _end_at(self, attempt: AttemptId, end: float) -> None:
        self._count += 1
        self._due[attempt] = end
        if end < NEVER:
            heappush(self._ends, End(end, self._count, attempt))

    def _pause(self, attempt: AttemptId, now: float) -> None:
        if attempt in self._running and attempt in self._commands:
            self._still[attempt] = (now, self._due.pop(attempt) - now)
        elif attempt in self._slot_of and attempt not in self._running:
            self._hand_back(attempt)

    def _proceed(self, attempt: AttemptId, now: float) -> None:
        """Time in which it stood still is none of its own."""
        if attempt in self._still:
            since, left = self._still.pop(attempt)
            slot, began = self._running[attempt]
            self._running[attempt] = (slot, began + now - since)
            self._end_at(attempt, now + left)

    def _end(self, attempt: AttemptId, now: float, reason: Reason | None) -> None:
        self._proceed(attempt, now)
        slot, began = self._running.pop(attempt)
        self._due.pop(attempt, None)
        self._commands.discard(attempt)
        del self._slot_of[attempt]
        self._slots[slot].popleft()
        self.inbox.append(Ended(attempt, now, Outcome(reason, seconds=now - began)))
        self._go_on(slot, now)

    def _stop(self, attempt: AttemptId, reason: Reason, now: float) -> None:
        if attempt in self._running:
            self._end(attempt, now, reason)
        elif attempt in self._slot_of:
            self._hand_back(attempt)

    def _hand_back(self, attempt: AttemptId) -> None:
        slot = self._slot_of.pop(attempt)
        self._commands.discard(attempt)
        self._slots[slot].remove(attempt)
        if not self._slots[slot]:
            del self._slots[slot]
        self.inbox.append(Returned(attempt))
