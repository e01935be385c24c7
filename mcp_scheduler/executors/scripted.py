"""An executor without processes: a test or a simulation says how each attempt goes, in advance or step by step.

It outlives the engine that uses it, as real workers do: `start` with another `report` is the next engine, and
`recover` answers it from what is under way here. Everything happens inside the call that causes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from mcp_scheduler.core.changes import Launch
from mcp_scheduler.core.events import Began, Ended, Outcome, Returned, SlotGone
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Attempt
from mcp_scheduler.core.states import Reason
from mcp_scheduler.ports import Clock, Report

Script = Callable[[AttemptId, bytes], Outcome | None]


def _until_told(_attempt: AttemptId, _payload: bytes) -> None:
    return None


class ScriptedExecutor:
    """Implements `ports.Executor`.

    The calls of a slot begin one after the other. When one begins, `script` says how it ends; None lets it run until
    `end` is called. A stopped call ends at once, except those in `stubborn`, which run on until `end`. A paused call
    stands still (`still`) until it proceeds, is stopped, or the next engine comes; where `gives_way` says so, it ends.
    """

    def __init__(self, clock: Clock, script: Script = _until_told) -> None:
        self.script = script
        self.launched: dict[AttemptId, bytes] = {}  # every attempt ever handed over, with its payload
        self.stops: list[tuple[AttemptId, Reason | None]] = []
        self.settled: set[AttemptId] = set()
        self.stubborn: set[AttemptId] = set()
        self.still: set[AttemptId] = set()
        self.gives_way: Callable[[bytes], bool] = lambda _payload: False
        self._clock = clock
        self._plans: dict[str, list[Outcome]] = {}
        self._slots: dict[str, list[AttemptId]] = {}
        self._began: dict[AttemptId, str] = {}  # → slot
        self._ends: dict[AttemptId, Ended] = {}  # not settled: told again to the next engine
        self._stopping: dict[AttemptId, Reason | None] = {}
        self._report: Report | None = None

    # -- what a test says

    def plan(self, task: str, *outcomes: Outcome) -> None:
        """The next attempts of this task end so, one after the other, as soon as they begin."""
        self._plans.setdefault(task, []).extend(outcomes)

    def end(self, attempt: AttemptId, outcome: Outcome | None = None) -> None:
        """A running call ends, successfully if nothing else is said. KeyError if it is not running."""
        self._go_on(self._finish(attempt, outcome or Outcome()))

    @property
    def running(self) -> list[AttemptId]:
        """The calls that have begun and not ended."""
        return list(self._began)

    @property
    def waiting(self) -> list[AttemptId]:
        """The calls that were handed over and have not begun."""
        return [one for slot in self._slots.values() for one in slot if one not in self._began]

    # -- ports.Executor

    async def start(self, report: Report) -> None:
        self._report = report
        self.still.clear()

    async def recover(self, attempts: Sequence[Attempt], terms: Mapping[str, Any]) -> None:  # noqa: ARG002 (the port's)
        wanted = {attempt.id for attempt in attempts}
        for slot in self._slots.values():  # what had not begun is void with the engine that sent it
            slot[:] = [attempt for attempt in slot if attempt in self._began]
        for attempt in [one for one in self._began if one not in wanted]:
            self._slots[self._began.pop(attempt)].remove(attempt)
        for attempt in [one for one in self._ends if one not in wanted]:
            del self._ends[attempt]
        for attempt in wanted:
            if attempt in self._ends:
                self._tell(self._ends[attempt])
            elif attempt not in self._began:
                self._tell(Returned(attempt))

    def launch(self, launch: Launch, payloads: Mapping[AttemptId, bytes]) -> None:
        slot = self._slots.setdefault(launch.slot, [])
        for attempt in launch.attempts:
            if attempt not in self.launched:
                self.launched[attempt] = payloads[attempt]
                slot.append(attempt)
        self._go_on(launch.slot)

    def flush(self) -> None:
        """Calls go on as soon as they are launched: nothing is left to be sent."""

    def stop(self, attempt: AttemptId, reason: Reason | None) -> None:
        self.stops.append((attempt, reason))
        if attempt in self._began:
            self._stopping[attempt] = reason
            if attempt not in self.stubborn:
                self.end(attempt)
            return
        for slot in self._slots.values():
            if attempt in slot:
                slot.remove(attempt)
                self._tell(Returned(attempt))

    def pause(self, attempt: AttemptId) -> None:
        if attempt in self._began:
            if self.gives_way(self.launched[attempt]):
                self.end(attempt, Outcome(Reason.YIELDED, "It gave way."))
            else:
                self.still.add(attempt)
            return
        for slot in self._slots.values():
            if attempt in slot:
                slot.remove(attempt)
                self._tell(Returned(attempt))

    def proceed(self, attempt: AttemptId) -> None:
        self.still.discard(attempt)

    def recall(self, slot: str) -> None:
        waiting = [attempt for attempt in self._slots.get(slot, ()) if attempt not in self._began]
        for attempt in waiting:
            self._slots[slot].remove(attempt)
            self._tell(Returned(attempt))

    def evict(self, slot: str) -> None:
        if slot not in self._slots:
            self._tell(SlotGone(slot))

    def settle(self, attempts: Iterable[AttemptId]) -> None:
        for attempt in attempts:
            self.settled.add(attempt)
            self._ends.pop(attempt, None)

    async def close(self) -> None:
        self._report = None

    # -- inside

    def _go_on(self, slot: str) -> None:
        """Begin the head of the slot, and the next one where it ends at once."""
        while queue := self._slots[slot]:
            attempt = queue[0]
            if attempt in self._began:
                return
            self._began[attempt] = slot
            self._tell(Began(attempt, self._clock.now()))
            planned = self._plans.get(attempt.task)
            outcome = planned.pop(0) if planned else self.script(attempt, self.launched[attempt])
            if outcome is None:
                return
            self._finish(attempt, outcome)
        del self._slots[slot]

    def _finish(self, attempt: AttemptId, outcome: Outcome) -> str:
        """Report the end; the slot that the call ran in."""
        slot = self._began.pop(attempt)
        self.still.discard(attempt)
        self._slots[slot].remove(attempt)
        if attempt in self._stopping:
            outcome = _stopped(self._stopping.pop(attempt))
        self._ends[attempt] = Ended(attempt, self._clock.now(), outcome)
        self._tell(self._ends[attempt])
        return slot

    def _tell(self, event: Began | Ended | Returned | SlotGone) -> None:
        if self._report is not None:
            self._report(event)


def _stopped(reason: Reason | None) -> Outcome:
    return Outcome(reason or Reason.CANCELLED, "The call was asked to stop.")
