"""A stage on which a scheduling test is five lines: submit, turn, end, look. Every turn is checked by `core.check`."""

from __future__ import annotations

from mcp_scheduler.core.changes import Changes, Effect, Launch, Recall, Settle, Stop
from mcp_scheduler.core.check import check
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.decide import Decision, decide
from mcp_scheduler.core.events import (
    Action,
    Began,
    CancelAsked,
    Ended,
    Event,
    NewTask,
    NodeChanged,
    Outcome,
    Returned,
    Submitted,
    UpdateAsked,
)
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import LOCAL, Node
from mcp_scheduler.core.policy import Policy
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.core.task import MILLI, NO_EXTRAS, Extras, Kind, Needs, Retry, Status, Task, Terms
from mcp_scheduler.policies.order import PRIORITY


def needs(cpus: float = 1, **amounts: int) -> Needs:
    """`needs(2, license=1, memory=4096)`: named resources in whole units, memory in bytes."""
    counted = {name: amount if name == "memory" else amount * MILLI for name, amount in amounts.items()}
    counted["cpus"] = round(cpus * MILLI)
    return Needs(tuple(sorted((name, amount) for name, amount in counted.items() if amount)))


def terms(
    target: str = "module.work",
    *,
    principal: str = "ann",
    needs: Needs = needs(),  # noqa: B008 - it is frozen
    retry: Retry | int = 1,
    timeout: float | None = None,
    idempotent: bool = False,
) -> Terms:
    asked = retry if isinstance(retry, Retry) else Retry(max_attempts=retry, delay=10.0, jitter=0.0)
    return Terms(Kind.FUNCTION, target, "environment", principal, needs, asked, timeout, idempotent=idempotent)


class Stage:
    """A cluster with one node, a clock that the test moves, and the decision of the last turn."""

    def __init__(self, cpus: float = 2, *, policy: Policy = PRIORITY, **amounts: int) -> None:
        self.cluster = Cluster(policy)
        self.now = 1000.0
        self.decision = Decision(Changes(), [], {})
        self.turn(NodeChanged(Node(LOCAL, needs(cpus, **amounts).amounts)))

    # --- what happens

    def turn(self, *events: Event) -> Decision:
        """Decide, commit, check."""
        self.decision = decide(self.cluster, events, self.now)
        self.cluster.apply(self.decision.changes)
        check(self.cluster)
        return self.decision

    def new(
        self,
        name: str,
        asked: Terms | None = None,
        *,
        after: str = "",
        priority: int = 0,
        start_after: float = 0.0,
        hold: bool = False,
        key: str = "",
        group: str = "",
        extras: Extras = NO_EXTRAS,
    ) -> NewTask:
        """A task that has not been handed in yet. `after` names others, divided by spaces."""
        seq = self.cluster.take_seq()
        status = Status(State.PENDING, self.now, held=hold, priority=priority)
        waits = tuple(after.split())
        task = Task(name, seq, asked or terms(), self.now, status, after=waits, start_after=start_after, key=key)
        task.group = group
        task.extras = extras
        return NewTask(task, b"{}")

    def submit(self, name: str, asked: Terms | None = None, **options: object) -> Decision:
        return self.turn(Submitted([self.new(name, asked, **options)]))  # type: ignore[arg-type] # passed on as they came

    def end(self, name: str, reason: Reason | None = None, *, seconds: float = 60.0) -> Decision:
        """The running attempt of the task ends. A minute by default: nothing queues behind such calls."""
        return self.turn(self.ended(name, reason, seconds=seconds))

    def ended(self, name: str, reason: Reason | None = None, *, seconds: float = 60.0) -> Ended:
        error = "" if reason is None else f"It ended: {reason}."
        return Ended(self.attempt(name), self.now, Outcome(reason, error, seconds=seconds))

    def give_back(self, *names: str) -> Decision:
        return self.turn(*(Returned(self.attempt(name)) for name in names))

    def began(self, name: str) -> Decision:
        return self.turn(Began(self.attempt(name), self.now))

    def cancel(self, *names: str) -> Decision:
        return self.turn(CancelAsked(names))

    def update(self, action: Action, *names: str, value: float | None = None) -> Decision:
        return self.turn(UpdateAsked(names, action, value))

    def resize(self, cpus: float, **amounts: int) -> Decision:
        return self.turn(NodeChanged(Node(LOCAL, needs(cpus, **amounts).amounts)))

    def wait(self, seconds: float) -> Decision:
        self.now += seconds
        return self.turn()

    def fail_commit(self, *events: Event) -> None:
        """Decide, and have the disk refuse it."""
        decide(self.cluster, events, self.now)
        self.cluster.rebuild()
        check(self.cluster)

    # --- what there is to see

    def task(self, name: str) -> Task:
        return self.cluster.tasks[name]

    def status(self, name: str) -> Status:
        return self.task(name).status

    def state(self, name: str) -> State:
        return self.status(name).state

    def attempt(self, name: str) -> AttemptId:
        return AttemptId(name, self.status(name).number)

    def states(self, names: str) -> list[State]:
        return [self.state(name) for name in names.split()]

    @property
    def running(self) -> list[str]:
        """Tasks under way, in the order in which they were started."""
        return [attempt.task for attempt in self.cluster.attempts]

    @property
    def launched(self) -> list[str]:
        """Attempts handed out by the last turn: "task.number"."""
        return [str(attempt) for effect in self.effects(Launch) for attempt in effect.attempts]

    @property
    def stopped(self) -> list[tuple[str, Reason | None]]:
        return [(effect.attempt.task, effect.reason) for effect in self.effects(Stop)]

    @property
    def settled(self) -> list[str]:
        return [str(attempt) for effect in self.effects(Settle) for attempt in effect.attempts]

    @property
    def recalled(self) -> list[str]:
        return [effect.slot for effect in self.effects(Recall)]

    def effects(self, kind: type[Effect]) -> list[Effect]:
        return [effect for effect in self.decision.effects if isinstance(effect, kind)]
