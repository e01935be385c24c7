"""An engine that can die between any two lines: the real decision and the rules of the store in a world of attempts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from mcp_scheduler.core import decide as heart
from mcp_scheduler.core.changes import Stop
from mcp_scheduler.core.check import check
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.events import (
    Action,
    Began,
    Ended,
    Event,
    NodeChanged,
    Outcome,
    Returned,
    SlotGone,
    UpdateAsked,
)
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Attempt
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Status, Task
from mcp_scheduler.policies.catalogue import BUILT_IN
from mcp_scheduler.store.memory import MemoryStore
from tests.simulation.budgets import Budgets, small_budget
from tests.simulation.holders import Holders
from tests.simulation.kept import Kept
from tests.simulation.places import Places
from tests.simulation.rivals import Rivals
from tests.simulation.sources import Sources
from tests.simulation.twins import Twins, furnish
from tests.simulation.undos import Undos
from tests.simulation.wanted import OK, OUTCOMES, Fate
from tests.simulation.world import Past, World

T = TypeVar("T")
REPORTS = (Ended, Returned, Began, SlotGone)  # they come again after a commit that failed


def done(coroutine: Coroutine[Any, Any, T]) -> T:
    """The memory store never waits: its coroutines run to their end at once."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("The memory store has waited.")


class Life:
    """Boot, turn, death; and what is looked at just before changes become durable."""

    def __init__(self, *, are_many: bool = False) -> None:
        """`are_many`: nodes, with GPUs; else there is this host, without."""
        self.now = 1000.0
        self.world = World()
        self.store = MemoryStore()
        self.known: list[str] = []  # acknowledged
        self.cancelled: set[str] = set()
        self.ended: dict[str, Status] = {}
        self.keys: dict[tuple[str, int], str] = {}
        self.hanging: set[AttemptId] = set()
        self.figures: Counter[str] = Counter()
        self.fresh: dict[str, Task] = {}  # of the submission under way
        self.holders = Holders(self.world)
        self.rivals = Rivals()
        self.policy = BUILT_IN["priority"]
        self.undos = Undos()
        self.budgets = Budgets()
        self.sources = Sources()
        self.twins = Twins(self.world)
        self.places = Places(are_many=are_many)
        self.kept = Kept(self.world)
        self.world.workers.sizes = {uuid: gpu.total or 0 for uuid, gpu in self.places.devices.items()}
        self._seq = 0
        self._boot()

    # --- the engine's life

    def _boot(self) -> None:
        boot = done(self.store.open())
        self.cluster = Cluster(self.policy)
        self.cluster.retry_budget = small_budget()
        self.budgets.begin(self.now)
        furnish(self.cluster)
        self._seq = max(self._seq, boot.next_seq)
        self.cluster.load(boot.tasks, boot.attempts, self._seq, boot.latest)
        self.places.furnish(self.cluster)
        for name in self.places.sizes:
            self._node_is(name)
        with_processes = [one for one in boot.attempts if not self.holders.is_lease(one.id.task)]
        self.world.recover(with_processes, self.now)
        self.cluster.rebuild()
        for attempt, reason in heart.resume(self.cluster):
            self.cluster.stopping.add(attempt)
            self.world.carry_out(Stop(attempt, reason), self.now)
        self.places.go_on(self.cluster, self.now)
        check(self.cluster)
        self.turn(self.places.told_at_boot(), OK)

    def _node_is(self, name: str) -> NodeChanged:
        node = self.places.node(name)
        self.world.capacity[name] = dict(node.amounts)
        return NodeChanged(node)

    def turn(self, events: Sequence[Event], fate: Fate) -> bool:
        """One turn of the loop. Whether its changes are durable."""
        self.figures["turns"] += 1
        self.figures[f"turns: {fate.kind}"] += 1
        self.places.before(self.cluster, events)
        decision = heart.decide(self.cluster, events, self.now)
        self._seq = max(self._seq, self.cluster.next_seq)
        if fate.kind == "before":
            self._die(fate)
            return False
        if fate.kind == "disk" and decision.changes:
            self.cluster.rebuild()
            check(self.cluster)
            self.world.inbox[:0] = [event for event in events if isinstance(event, REPORTS)]
            return False
        self.fresh |= {new.task.id: new.task for new in decision.changes.added if new.like}
        self._look_at_starts(decision.changes.started, events)
        self.budgets.look(decision.changes, self.store_tasks(), self.now)
        self.rivals.look(decision.changes, self.store_tasks(), events, self.now)
        self.undos.look(decision.changes, self.store_tasks(), set_back=self.rivals.set_back > 0)
        self.twins.look(decision.changes, self.now)
        self.places.look(decision.changes, self.store_tasks(), self.now)
        if decision.changes:
            done(self.store.commit(decision.changes))
        for new in decision.changes.added:
            if new.like:
                self.known.append(new.task.id)
                self.world.past[new.task.id] = Past(new.task.terms, free_at=new.task.start_after)
        self.holders.look(decision.changes, events, self.now)
        effects = decision.effects
        if fate.kind == "after":
            effects = effects[: fate.effects]
        else:
            self.cluster.apply(decision.changes)
        for effect in effects:
            self.world.carry_out(effect, self.now)
        self.figures["attempts"] += len(decision.changes.started)
        if fate.kind == "after":
            self._die(fate)
        else:
            check(self.cluster)
            self.places.durable(self.cluster)
        self.refused = decision.refused
        return not decision.refused

    def _die(self, fate: Fate) -> None:
        """kill -9. What lives goes on, ends with a record, or is gone without one."""
        self.world.engine_dies(self.now)
        for number, attempt in enumerate(list(self.world.alive)):
            hit = fate.hits[number % len(fate.hits)] % 3 if fate.hits else 0
            if hit == 1:
                self.world.end(attempt, Outcome(OUTCOMES[sum(fate.hits) % len(OUTCOMES)]), self.now)
            elif hit == 2 and attempt not in self.world.stopping:
                self.world.vanish(attempt)
        self.world.inbox.clear()
        self.now += fate.jump
        self.rivals.set_back -= min(0.0, fate.jump)
        self.world.set_back |= fate.jump < 0
        for past in self.world.past.values():
            past.free_at += min(0.0, fate.jump)  # the next engine counts from the clock as it was set
        self._boot()

    # --- what is durable

    def store_tasks(self) -> dict[str, Task]:
        """Every task that is durable, acknowledged or not."""
        return done(self.store.tasks([*dict.fromkeys((*self.known, *self.fresh))]))

    def _stored(self, name: str) -> Status:
        return done(self.store.tasks([name]))[name].status

    def _look_at_starts(self, started: Sequence[Attempt], events: Sequence[Event]) -> None:
        """Just before they become durable: may these start, by what was durable before and what was asked since?"""
        freed = {(name, event.action) for event in events if isinstance(event, UpdateAsked) for name in event.tasks}
        ends = [event for event in events if isinstance(event, Ended)]  # of copies several may end in one turn
        ended = {event.attempt.task for event in ends}
        succeeded = {event.attempt.task for event in ends if event.outcome.reason is None}
        released = (name for name, action in freed if action is Action.RELEASE and self.holders.is_lease(name))
        succeeded.update(released)
        for attempt in started:
            name = attempt.id.task
            assert name not in self.cancelled, f"{name} is started though it is cancelled."
            task = done(self.store.tasks([name])).get(name) or self.fresh[name]
            held = task.status.state is State.HELD and (name, Action.RESUME) not in freed
            assert not held, f"{name} is started though it is held."
            self.sources.check_start(task, done(self.store.tasks(task.after)), succeeded, ended)
