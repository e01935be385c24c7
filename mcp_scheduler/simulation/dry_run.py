"""A dry run: what would happen from a snapshot on, under some policy, if every call took as long as is expected of it.

The decision is the real one, on a cluster and a clock of its own. Every call succeeds; workers are warm; nobody else
comes. What nothing is known of takes the mean of what calls took of late, and is marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf
from time import monotonic, sleep
from typing import Final

from mcp_scheduler.core.changes import Changes, Continue, Effect, Launch, Pause
from mcp_scheduler.core.cluster import Policy
from mcp_scheduler.core.decide import decide
from mcp_scheduler.core.events import Event, Submitted
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.learning import device_class
from mcp_scheduler.core.node import Attempt
from mcp_scheduler.core.states import FINAL, State
from mcp_scheduler.core.task import Kind, Task
from mcp_scheduler.simulation.executor import NEVER, VirtualExecutor
from mcp_scheduler.simulation.snapshot import Snapshot, same

_PATIENCE: Final = 1000  # moments in a row that bring nothing about
_BREATH: Final = 0.003  # seconds of work, after which whoever waits for the interpreter gets it
_PAUSE: Final = 0.0005
LEAST: Final = 1e-3  # seconds


@dataclass(slots=True)
class Run:
    """One task of a plan. Seconds since the epoch; `start` and `end` are None where it does not come to that. `because`
    names the tasks whose ends let it start; `assumed`: nothing is known of how long it takes; `still`: from when until
    when it stood still between start and end."""

    task: Task
    start: float | None = None
    end: float | None = None
    node: str = ""
    devices: tuple[str, ...] = ()
    because: tuple[str, ...] = ()
    assumed: bool = False
    was_running: bool = False
    why: str = ""
    still: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])

    def stints(self, until: float) -> list[tuple[float, float]]:
        """From when until when it works on the cpus that it has, until this moment at most."""
        if self.start is None:
            return []
        end = until if self.end is None else min(until, self.end)
        begins = [self.start, *(after for _, after in self.still)]
        ends = [*(since for since, _ in self.still), end]
        return [(begin, min(stop, end)) for begin, stop in zip(begins, ends, strict=True) if begin < min(stop, end)]


@dataclass(slots=True)
class Forecourse:
    """What a dry run found: every task by its id. `cut`: its time was over before it was."""

    policy: str
    runs: dict[str, Run] = field(default_factory=dict[str, Run])
    cut: bool = False


class DryRun:
    """One policy's future of a snapshot, in which `arriving` (with its group) is submitted at once."""

    def __init__(self, snapshot: Snapshot, policy: Policy, arriving: Submitted | None = None) -> None:
        self._snapshot = snapshot
        self._now = snapshot.now
        self._cluster = snapshot.cluster(policy)
        self._executor = VirtualExecutor(self._begin)
        self._pace = snapshot.pace.seconds
        self.found = Forecourse(policy.name)
        self._arriving = None if arriving is None else _own(arriving)
        new = [item.task for item in self._arriving.tasks] if self._arriving is not None else []
        self._runs = self.found.runs
        for task in (*self._cluster.tasks.values(), *new):
            self._runs[task.id] = Run(task, was_running=task.status.state is State.RUNNING)
        self._open = len(self._runs)
        self._still_since: dict[str, float] = {}
        self._just_ended: list[
            str
        ] = []  # at this moment: an eviction may lie between an end and what it makes room for

    def finish(self, until: float) -> Forecourse:
        """Go on until nothing more happens, or the monotonic clock shows `until`."""
        self._take_over()
        self._step(self._now, () if self._arriving is None else (self._arriving,))
        idle = 0
        breath = monotonic() + _BREATH
        while self._open and idle < _PATIENCE:
            if (at := monotonic()) >= until:
                self.found.cut = True
                break
            if at >= breath:
                sleep(_PAUSE)
                breath = monotonic() + _BREATH
            if (following := self._next()) == NEVER:
                break
            idle = 0 if self._step(max(self._now, following)) else idle + 1
        for run in self._runs.values():
            if run.end is None:
                run.why = self._why(run)
        return self.found

    # --- time

    def _take_over(self) -> None:
        """What runs goes on. A lease has no process: it ends when it lapses."""
        for attempt in self._cluster.attempts.values():
            run = self._runs[attempt.id.task]
            run.start, run.node, run.devices = attempt.at, attempt.node, attempt.devices
        for slot in list(self._cluster.slots.values()):
            if slot.attempts and slot.terms.kind is not Kind.LEASE:
                calls = tuple(slot.attempts)
                self._executor.carry_out(Launch(slot.id, slot.node, slot.terms, calls, slot.devices), self._now)
                if slot.still_since is not None:
                    self._executor.carry_out(Pause(calls[0]), self._now)
                    self._note_stillness(Pause(calls[0]), slot.still_since)

    def _next(self) -> float:
        if self._executor.inbox:
            return self._now
        due = self._cluster.next_due()
        return min(self._executor.next_end, inf if due is None else due)

    def _step(self, now: float, more: Sequence[Event] = ()) -> bool:
        """Everything that happens at this moment, and one decision. Whether that changed anything."""
        if now > self._now:
            self._now, self._just_ended = now, []
        self._executor.advance(now)
        events, self._executor.inbox = [*self._executor.inbox, *more], []
        decision = decide(self._cluster, events, now)
        self._cluster.apply(decision.changes)
        self._note(decision.changes)
        for effect in decision.effects:
            self._executor.carry_out(effect, now)
            self._note_stillness(effect, now)
        return bool(decision.changes or decision.effects)

    def _begin(self, attempt: AttemptId, now: float) -> float:
        """A call begins, or goes on: how long it still takes."""
        run = self._runs[attempt.task]
        slot = self._cluster.slots[self._cluster.slot_of[attempt]]
        expected = self._snapshot.known.expected(run.task, device_class(self._cluster, slot))
        run.assumed = expected is None or self._snapshot.known.is_stranger(run.task)
        limit = run.task.terms.timeout or inf
        seconds = max(LEAST, min(self._pace if expected is None else expected.median, limit))
        if not run.was_running:
            run.start = now
            return seconds
        if run.task.status.cancel_requested:
            return 0.0
        until = now if slot.still_since is None else slot.still_since
        ran = max(0.0, until - max(slot.since, self._cluster.attempts[attempt].at))
        while seconds <= ran:
            seconds *= 2.0  # an estimate that was outlived is doubled, as everywhere
        return max(0.0, min(seconds, limit) - ran)

    # --- what is written down

    def _note(self, changes: Changes) -> None:
        for event in changes.ended:
            run = self._runs[event.attempt.task]
            self._open -= run.end is None
            run.end = event.at if run.end is None else run.end  # of copies the first one counts
            self._just_ended.append(event.attempt.task)
        for attempt in changes.started:
            run = self._runs[attempt.id.task]
            run.start, run.node, run.devices = attempt.at, attempt.node, attempt.devices
            run.assumed = run.task.terms.kind is Kind.LEASE
            run.because = self._because(run, attempt)

    def _note_stillness(self, effect: Effect, now: float) -> None:
        """Functions run on when they are asked to pause; commands stand still until they are continued."""
        match effect:
            case Pause(attempt) if self._executor.stands_still(attempt):
                self._still_since.setdefault(attempt.task, now)
            case Continue(attempt) if attempt.task in self._still_since:
                self._runs[attempt.task].still.append((self._still_since.pop(attempt.task), now))
            case _:
                pass

    def _because(self, run: Run, attempt: Attempt) -> tuple[str, ...]:
        """Whose ends let it start: its dependencies, those that used its things, or whoever left room for it."""
        behind = list(self._cluster.slots[attempt.slot].attempts)
        place = behind.index(attempt.id) if len(behind) > 1 else 0
        if place:
            return (behind[place - 1].task,)
        others = [self._runs[name] for name in self._just_ended if name != run.task.id]
        waited_for = {*run.task.after, *run.task.extras.behind}
        causes = (
            [other for other in others if other.task.id in waited_for]
            or [other for other in others if _conflict(run.task, other.task)]
            or [other for other in others if not set(run.devices).isdisjoint(other.devices)]
            or [other for other in others if other.node == run.node]
        )
        return tuple(other.task.id for other in causes[:3])

    def _why(self, run: Run) -> str:
        """Why no end is told of it."""
        task = self._cluster.tasks.get(run.task.id, run.task)
        state = task.status.state
        if state in FINAL:
            return task.status.error or f"it would be {state.value}"
        if state is State.HELD:
            return "held until a person resumes it"
        others = [name for name in task.after if (other := self._runs.get(name)) is not None and other.end is None]
        if others:
            return f"waits for {others[0]}, which does not end in this plan"
        return "this plan was cut before its end" if self.found.cut else "finds no room"


def _own(arriving: Submitted) -> Submitted:
    """A copy: the core moves the tasks that arrive."""
    tasks = [replace(item, task=same(item.task)) for item in arriving.tasks]
    for item in tasks:
        item.task.status = item.task.status.copy()
    return replace(arriving, tasks=tasks)


def _conflict(one: Task, other: Task) -> bool:
    mine, others = one.extras, other.extras
    return bool(set(mine.writes) & {*others.writes, *others.reads} or set(mine.reads) & set(others.writes))
