"""One run: a trace goes through the real decision, on a virtual cluster and a virtual clock.

Nothing of the decision is done here. What arrives and what ends are events; `decide` answers with changes, which are
applied, and effects, which the virtual executor carries out; what they cause comes back as events.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from time import perf_counter
from typing import Final

from mcp_scheduler.core.changes import Changes
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.decide import decide
from mcp_scheduler.core.estimates import Expected, Forecasts
from mcp_scheduler.core.events import (
    Began,
    CancelAsked,
    DevicesSeen,
    Ended,
    Event,
    Group,
    NewTask,
    NodeChanged,
    Submitted,
)
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.policy import Policy
from mcp_scheduler.core.states import FINAL, State
from mcp_scheduler.core.task import NO_EXTRAS, Extras, Status, Task, Terms
from mcp_scheduler.errors import InvalidRequest, InvariantBroken
from mcp_scheduler.simulation.executor import NEVER, VirtualExecutor
from mcp_scheduler.simulation.fragmentation import Fragmentation
from mcp_scheduler.simulation.jobs import Job
from mcp_scheduler.simulation.trace import Trace

EPOCH: Final = 1_000_000.0  # the moment at which a trace begins: no time of the core is 0
FLOOR: Final = 10.0  # seconds: shorter jobs count as so long in a bounded slowdown
_PATIENCE: Final = 1000  # timers in a row that bring nothing about while nothing runs and nothing arrives

Look = Callable[[Cluster], None]


@dataclass(slots=True)
class Record:
    """What became of a job. Times in seconds from the beginning of the trace, None where it did not come to that.
    `first` is the attempt that began first, `took` its time, `copied` that of all others."""

    job: Job
    began: float | None = None
    ended: float | None = None
    node: str = ""
    devices: tuple[str, ...] = ()
    expected: Expected | None = None  # the forecast when it was submitted
    done: bool = False
    attempts: int = 0
    first: AttemptId | None = None
    took: float = 0.0
    copied: float = 0.0

    @property
    def wait(self) -> float:
        """Seconds from its arrival to its beginning."""
        assert self.began is not None
        return max(0.0, self.began - self.job.submit)

    def slowdown(self, floor: float = FLOOR) -> float:
        """Its bounded slowdown: how many times longer it took than it runs, where `floor` seconds are the least."""
        assert self.ended is not None
        return max(1.0, (self.ended - self.job.submit) / max(self.job.run, floor))


@dataclass(slots=True)
class Run:
    """What became of a trace. `decisions` are the seconds that each decision took on this machine, `fragmentation` what
    was seen of it, `device_memory` the bytes of the largest device."""

    trace: Trace
    policy: str
    records: dict[str, Record]
    device_memory: int = 0
    decisions: list[float] = field(default_factory=list[float])
    fragmentation: list[float] = field(default_factory=list[float])


class Simulation:
    """A trace under way. `forecasts`: what the scheduler knows of run times. `look` is called after each decision."""

    def __init__(self, trace: Trace, policy: Policy, forecasts: Forecasts | None, look: Look | None = None) -> None:
        if not trace.machines:
            raise InvalidRequest(f"{trace.name} does not say what it ran on.", hint="Give --nodes.")
        self.cluster = Cluster(policy)
        memory = max((device.total or 0 for machine in trace.machines for device in machine.devices), default=0)
        self.run = Run(trace, policy.name, {job.id: Record(job) for job in trace.jobs}, memory)
        self.cluster.forecasts = forecasts
        self.cluster.expires = False  # a missed deadline is a figure of the report; every job is run
        self._look = look
        self._fragmentation = Fragmentation(trace)
        self.run.fragmentation = self._fragmentation.seen
        self._start = trace.jobs[0].submit - EPOCH
        self._arrivals = trace.jobs
        self._arrived = 0
        self._leaving: list[tuple[float, str]] = []  # when those that lose patience leave, a heap
        self._now = EPOCH
        self._executor = VirtualExecutor(self._begin)
        for machine in trace.machines:
            self._executor.inbox.append(NodeChanged(machine.node))
            if machine.devices:
                self._executor.inbox.append(DevicesSeen(machine.node.name, machine.devices))

    def finish(self) -> Run:
        """Go on until nothing happens any more: everything has ended, or what is left can never run."""
        idle = 0
        while idle < _PATIENCE:
            now = self.next_moment()
            if now == NEVER:
                break
            idle = 0 if self.step(now) or self._executor.next_end < NEVER or self._has_arrivals else idle + 1
        return self.run

    def step(self, now: float) -> bool:
        """Everything that happens at the moment `now`, and one decision. Whether that changed anything."""
        self._executor.advance(now)
        events = self._executor.inbox
        self._executor.inbox = []
        self._note(events)
        events = [*events, *self._arriving(now), *self._losing_patience(now)]
        started = perf_counter()
        decision = decide(self.cluster, events, now)
        self.cluster.apply(decision.changes)
        self.run.decisions.append(perf_counter() - started)
        if decision.refused:
            raise InvariantBroken(f"The scheduler refused what a trace brings: {decision.refused}.")
        for effect in decision.effects:
            self._executor.carry_out(effect, now)
        self._note_changes(decision.changes)
        self._fragmentation.look(self.cluster, self._arrived)
        if self._look is not None:
            self._look(self.cluster)
        return bool(decision.changes or decision.effects)

    # --- time

    @property
    def _has_arrivals(self) -> bool:
        return self._arrived < len(self._arrivals)

    def next_moment(self) -> float:
        """The next moment at which something happens."""
        moments = [self._executor.next_end]
        if self._executor.inbox:
            moments.append(self._now)
        if self._has_arrivals:
            moments.append(self._arrivals[self._arrived].submit - self._start)
        if self._leaving:
            moments.append(self._leaving[0][0])
        due = self.cluster.next_due()
        if due is not None and self.cluster.unfinished:
            moments.append(due)
        self._now = max(min(moments), self._now)
        return self._now

    # --- what happens

    def _arriving(self, now: float) -> Sequence[Event]:
        tasks: list[NewTask] = []
        while self._has_arrivals and self._arrivals[self._arrived].submit - self._start <= now:
            job = self._arrivals[self._arrived]
            self._arrived += 1
            tasks.append(NewTask(self._task(job, now), b""))
            if job.patience is not None:
                heappush(self._leaving, (now + job.patience, job.id))
        return [Submitted(members, self._group(members, now)) for members in _together(tasks)]

    def _group(self, members: list[NewTask], now: float) -> Group | None:
        first = members[0].task
        if not first.group:
            return None
        return Group(first.group, first.group, "graph", first.terms.principal, len(members), now)

    def _losing_patience(self, now: float) -> Sequence[Event]:
        names: list[str] = []
        while self._leaving and self._leaving[0][0] <= now:
            task = self.cluster.tasks.get(self._leaving[0][1])
            if task is None:
                break  # it arrives at this very moment: it is offered a place first
            heappop(self._leaving)
            if task.status.state not in FINAL and task.status.state is not State.RUNNING:
                names.append(task.id)
        return [CancelAsked(tuple(names))] if names else []

    def _task(self, job: Job, now: float) -> Task:
        has_copies = job.hedge or job.replicas > 1
        terms = Terms(job.kind, job.target, "trace", job.principal, job.needs, idempotent=has_copies)
        task = Task(
            job.id,
            self._arrived,
            terms,
            now,
            Status(State.PENDING, now, priority=job.priority),
            name=job.target,
            group=job.group,
            after=job.after,
            deadline=None if job.deadline is None else job.deadline - self._start,
            extras=Extras(replicas=job.replicas, hedge=job.hedge) if has_copies else NO_EXTRAS,
        )
        self.run.records[job.id].expected = self.cluster.expected(task)
        return task

    # --- what is written down

    def _begin(self, attempt: AttemptId, now: float) -> float:
        record = self.run.records[attempt.task]
        record.attempts += 1
        if record.began is None:
            record.began, record.first = now + self._start, attempt
        if record.job.hedge:
            self._executor.inbox.append(Began(attempt, now))
        return record.job.takes(record.attempts)

    def _note(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Ended):
                record = self.run.records[event.attempt.task]
                if event.attempt == record.first:
                    record.took += event.outcome.seconds
                else:
                    record.copied += event.outcome.seconds
                if record.done:
                    continue  # another copy has come first
                record.ended = event.at + self._start
                record.done = event.outcome.reason is None

    def _note_changes(self, changes: Changes) -> None:
        for attempt in changes.started:
            record = self.run.records[attempt.id.task]
            record.node, record.devices = attempt.node, attempt.devices


def _together(tasks: Sequence[NewTask]) -> list[list[NewTask]]:
    """Those of a graph are submitted together, and so are all that belong to none."""
    found: dict[str, list[NewTask]] = {}
    for new in tasks:
        found.setdefault(new.task.group, []).append(new)
    return list(found.values())
