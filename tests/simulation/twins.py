"""What copies promise, told by what becomes durable alone: nothing of what the core derives."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from mcp_scheduler.core.changes import Changes
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.estimates import Estimates, Expected
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.states import Reason
from mcp_scheduler.core.task import NO_EXTRAS, Extras, Kind, Task
from tests.simulation.world import Past, World

LATE = 5.0  # seconds


class Known:
    """What the estimates say, and when calls are late."""

    def __init__(self, estimates: Estimates) -> None:
        self._estimates = estimates

    def expected(self, task: Task, device_class: str = "", /) -> Expected | None:
        known = self._estimates.expected(task, device_class)
        return None if known is None else known._replace(late=LATE)

    def learn(self, *_arguments: object, **_options: object) -> None:
        """The estimates learn."""


def furnish(cluster: Cluster) -> None:
    """A new engine knows when calls are late, and has enough to pay for copies."""
    cluster.forecasts = Known(cluster.estimates)
    cluster.hedging.earn(1e6, on_devices=False)


def ask_for_copies(copies: int, task: Task, past: Past) -> None:
    """The task is to have copies, if it is one that can."""
    if copies == 1 or task.extras is not NO_EXTRAS or task.terms.kind is Kind.LEASE:
        return
    task.terms = past.terms = replace(task.terms, idempotent=True)
    task.extras = Extras(replicas=max(copies, 1), hedge=copies == 0)
    past.copies = max(copies, 2)


@dataclass
class Round:
    """Attempts of one task from the first that starts until none is left."""

    open: set[AttemptId] = field(default_factory=set)
    failed: Reason | None = None
    won: AttemptId | None = None


class Twins:
    """Tasks that may have copies, round by round."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rounds: dict[str, Round] = {}

    def look(self, changes: Changes, now: float) -> None:
        """Just before they become durable. What has ended was settled before anything was started."""
        for ended in changes.ended:
            if self._has_copies(ended.attempt):
                self._end(ended.attempt, ended.outcome.reason)
        for attempt in changes.returned:
            if self._has_copies(attempt):
                self._rounds[attempt.task].open.remove(attempt)
        for name, found in list(self._rounds.items()):
            if not found.open:
                del self._rounds[name]
                if found.won is None and found.failed is not None:
                    self._world.past[name].note(found.failed, now)
        for attempt in changes.started:
            if self._has_copies(attempt.id):
                self._start(attempt.id)

    def _has_copies(self, attempt: AttemptId) -> bool:
        past = self._world.past.get(attempt.task)  # of a recurring task's next occurrence there is none yet
        return past is not None and past.copies > 1

    def _end(self, attempt: AttemptId, reason: Reason | None) -> None:
        found = self._rounds[attempt.task]
        found.open.remove(attempt)
        if found.won is not None:
            assert reason is Reason.CANCELLED, f"{found.won} has won, and {attempt} ends as {reason}."
        elif reason is None:
            found.won = attempt
        elif reason is not Reason.YIELDED or not found.open:  # who gives way beside others is wanted again, beside them
            found.failed = reason

    def _start(self, attempt: AttemptId) -> None:
        past = self._world.past[attempt.task]
        found = self._rounds.get(attempt.task)
        if found is None:
            found = self._rounds[attempt.task] = Round()
            before = Past(past.terms, bad=past.bad)  # a success that nobody has heard of yet forbids nothing
            assert before.may_run_again(), f"{attempt} repeats work that ended {dict(past.bad)}."
        assert found.won is None, f"{attempt} starts though {found.won} has won."
        assert found.failed is None, f"{attempt} starts beside others of which one has failed."
        found.open.add(attempt)
        assert len(found.open) <= past.copies, f"{sorted(found.open)} were started; {past.copies} were asked for."

    def has_lost(self, attempt: AttemptId) -> bool:
        """Whether another one has won, and this one is still to go."""
        found = self._rounds.get(attempt.task)
        return found is not None and found.won is not None and attempt in found.open

    def goes(self, attempt: AttemptId) -> bool:
        """Whether it has lost, and has been asked to end."""
        return self.has_lost(attempt) and attempt in self._world.stopping
