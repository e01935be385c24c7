"""The real decision, cluster and store rules in a world of attempts, with an engine that can die between any two lines.

A `Sim` offers verbs: what clients ask, what calls do, what the clock and the disk do. After each verb the promises are
checked: against the store, against the world, and against `core.check`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from mcp_scheduler.core import decide as heart
from mcp_scheduler.core.changes import Stop
from mcp_scheduler.core.check import check
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.events import (
    Action,
    Began,
    CancelAsked,
    Ended,
    Event,
    NewTask,
    NodeChanged,
    Outcome,
    PolicyChosen,
    QueuePaused,
    Returned,
    Submitted,
    UpdateAsked,
)
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import LOCAL, Attempt, Node
from mcp_scheduler.core.states import FINAL, Reason, State
from mcp_scheduler.core.task import Extras, Kind, Status, Task
from mcp_scheduler.policies.catalogue import BUILT_IN
from mcp_scheduler.store.memory import MemoryStore
from tests.core.builders import needs
from tests.simulation.budgets import Budgets, small_budget
from tests.simulation.holders import Holders
from tests.simulation.rivals import Rivals, nearest
from tests.simulation.sources import Sources
from tests.simulation.twins import Twins, ask_for_copies, furnish
from tests.simulation.undos import Undos, undoing_extras
from tests.simulation.wanted import CPUS, LICENSES, MEMORY, OK, OUTCOMES, SHAPES, Fate, Wanted
from tests.simulation.world import Past, World

T = TypeVar("T")


def done(coroutine: Coroutine[Any, Any, T]) -> T:
    """The memory store never waits: its coroutines run to their end at once."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("The memory store has waited.")


class Sim:
    def __init__(self) -> None:
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
        self._seq = 0
        self._size = CPUS
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
        self.cluster.set_node(self._node())
        with_processes = [one for one in boot.attempts if not self.holders.is_lease(one.id.task)]
        self.world.recover(with_processes, self.now)
        self.cluster.rebuild()
        for attempt, reason in heart.resume(self.cluster):
            self.cluster.stopping.add(attempt)
            self.world.carry_out(Stop(attempt, reason), self.now)
        check(self.cluster)
        self.turn([], OK)

    def _node(self) -> Node:
        node = Node(LOCAL, needs(self._size, license=LICENSES, memory=MEMORY).amounts)
        self.world.capacity = dict(node.amounts)
        return node

    def turn(self, events: Sequence[Event], fate: Fate) -> bool:
        """One turn of the loop. Whether its changes are durable."""
        self.figures["turns"] += 1
        self.figures[f"turns: {fate.kind}"] += 1
        decision = heart.decide(self.cluster, events, self.now)
        self._seq = max(self._seq, self.cluster.next_seq)
        if fate.kind == "before":
            self._die(fate)
            return False
        if fate.kind == "disk" and decision.changes:
            self.cluster.rebuild()
            check(self.cluster)
            self.world.inbox[:0] = [event for event in events if isinstance(event, Ended | Returned | Began)]
            return False
        self.fresh |= {new.task.id: new.task for new in decision.changes.added if new.like}
        self._look_at_starts(decision.changes.started, events)
        self.budgets.look(decision.changes, self.store_tasks(), self.now)
        self.rivals.look(decision.changes, self.store_tasks(), events, self.now)
        self.undos.look(decision.changes, self.store_tasks(), set_back=self.rivals.set_back > 0)
        self.twins.look(decision.changes, self.now)
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

    # --- what clients ask

    def submit(self, wanted: Sequence[Wanted], fate: Fate = OK, *, with_reports: bool = False) -> None:
        event = Submitted([])
        asked: dict[tuple[str, int], str] = {}
        for one in wanted:
            new = self._new(one, [new.task for new in event.tasks])
            key = (new.task.terms.principal, one.key)
            if one.key and (key in self.keys or key in asked):
                continue  # the service answers with the first one
            if one.key:
                asked[key] = new.task.id
            event.tasks.append(new)
        self._add_compensations(event)
        self.fresh = {new.task.id: new.task for new in event.tasks}
        event.outside = self._outside(name for new in event.tasks for name in new.task.after)
        names = [new.task.id for new in event.tasks]
        if not self._ask(event, fate, with_reports=with_reports):
            assert fate.kind != "ok", f"A lawful submission was refused: {self.refused}"
            assert not done(self.store.tasks(names)), "Half a submission, or one that was refused, is in the store."
            return
        self.known += names
        self.keys |= asked
        for new in event.tasks:
            self.world.past.setdefault(new.task.id, Past(new.task.terms, free_at=new.task.start_after))

    def _add_compensations(self, event: Submitted) -> None:
        """Those with one are undone together with all that was submitted with them, as a graph is."""
        owners = [new.task for new in event.tasks if new.task.extras.undo]
        members = [new.task for new in event.tasks if not new.task.extras.every]
        saga = f"g{self.cluster.take_seq()}" if len(members) > 1 else owners[0].id if owners else ""
        for task in members if owners else ():
            task.group = saga
        for owner in owners:
            seq = self.cluster.take_seq()
            self._seq = max(self._seq, seq + 1)
            asked = SHAPES[seq % 6]
            task = Task(owner.extras.undo, seq, asked, self.now, Status(State.PENDING, self.now))
            task.extras = undoing_extras(owner, saga)
            self.world.past[task.id] = Past(asked)
            event.tasks.append(NewTask(task, b"{}"))
        if owners:
            self.undos.know(saga, members, [new.task for new in event.tasks if new.task.extras.undoes])

    def store_tasks(self) -> dict[str, Task]:
        """Every task that is durable, acknowledged or not."""
        return done(self.store.tasks([*dict.fromkeys((*self.known, *self.fresh))]))

    def _new(self, one: Wanted, siblings: list[Task]) -> NewTask:
        seq = self.cluster.take_seq()
        self._seq = max(self._seq, seq + 1)
        name = f"t{seq}-1"
        choices = [] if one.every else [*self.known, *(task.id for task in siblings)]
        after = tuple(dict.fromkeys(choices[pick % len(choices)] for pick in one.after)) if choices else ()
        start = self.now + one.delay if one.delay else 0.0
        asked = SHAPES[one.shape % len(SHAPES)]
        self.world.past[name] = Past(asked, free_at=start)
        task = Task(
            name, seq, asked, self.now, Status(State.PENDING, self.now, held=one.hold, priority=one.priority),
            group=f"t{seq}", after=after, start_after=start, key=str(one.key or ""),
            deadline=self.now + one.deadline if one.deadline else None,
        )  # fmt: skip
        if one.reads or one.writes or one.every:
            task.extras = Extras(tuple(one.reads), tuple(one.writes), nearest(one, siblings))
        if one.every:
            task.start_after = start or self.now
            task.extras = replace(
                task.extras, every=one.every, catch_up=one.catch_up, occurrence=1, time=task.start_after
            )
        if one.goes_on and after and not self.holders.is_lease(after[0]):
            task.extras = replace(task.extras, source=after[0])
        if one.undo and not one.every and asked.kind is not Kind.LEASE:
            task.extras = replace(task.extras, undo=f"{name}-undo")
        ask_for_copies(one.copies, task, self.world.past[name])
        self.rivals.know(task, siblings)
        return NewTask(task, b"{}")

    def _outside(self, names: Any) -> dict[str, State]:
        gone = [name for name in names if name not in self.cluster.tasks]
        return {name: task.status.state for name, task in done(self.store.tasks(gone)).items()}

    def cancel(
        self, picks: Sequence[int], fate: Fate = OK, *, with_reports: bool = False, for_good: bool = False
    ) -> None:
        names = self._pick(picks, ended=False)
        whole = frozenset(names) if for_good else frozenset[str]()
        series = {task.group for task in done(self.store.tasks(list(whole))).values() if task.extras.recurs}
        if names and self._ask(CancelAsked(names, for_good=whole), fate, with_reports=with_reports):
            self.cancelled.update(names)
            self.rivals.over |= series

    def update(
        self, action: Action, picks: Sequence[int], fate: Fate = OK, *, value: float = 0, with_reports: bool = False
    ) -> None:
        names = self._pick(picks, ended=action is Action.RETRY)
        stored = done(self.store.tasks(names))
        revived, outside = (), {}
        if action is Action.RETRY:
            names = tuple(name for name in names if stored[name].status.state in FINAL - {State.SUCCEEDED})
            with_them = done(self.store.tasks(self.undos.run_again(names)))
            for name, undo in with_them.items():
                if undo.status.state is State.SKIPPED:
                    self.ended.pop(name, None)
            wanted = {**with_them, **{name: stored[name] for name in names}}
            revived = tuple(replace(task) for name, task in wanted.items() if name not in self.cluster.tasks)
            outside = self._outside(other for name in names for other in stored[name].after)
            before = {name: self.world.past[name] for name in names}
            self.rivals.again.update(names)
            for name in names:
                self.world.past[name] = Past(
                    stored[name].terms, free_at=stored[name].start_after, copies=before[name].copies
                )
                self.cancelled.discard(name)
                self.ended.pop(name, None)
        if not names:
            return
        given = value if action is Action.SET_PRIORITY else None
        durable = self._ask(UpdateAsked(names, action, given, revived, outside), fate, with_reports=with_reports)
        if action is Action.RETRY and not durable:
            self.world.past.update({name: before[name] for name in names if stored[name].status == self._stored(name)})

    def _ask(self, event: Event, fate: Fate, *, with_reports: bool) -> bool:
        events: list[Event] = []
        if with_reports:
            events, self.world.inbox = self.world.inbox, []
        return self.turn([*events, event], fate)

    def _pick(self, picks: Sequence[int], *, ended: bool) -> tuple[str, ...]:
        """Tasks that have ended, or that have not: what is asked of the others changes nothing."""
        choices = [name for name in self.known if (name in self.ended) is ended] or self.known
        return tuple(dict.fromkeys(choices[pick % len(choices)] for pick in picks)) if choices else ()

    # --- what the world does

    def deliver(self, count: int, fate: Fate = OK) -> None:
        """So many reports reach the engine, in one batch."""
        events, self.world.inbox = self.world.inbox[:count], self.world.inbox[count:]
        self.turn(events, fate)

    def deliver_again(self, picks: Sequence[int], fate: Fate = OK) -> None:
        """Reports that were made before come once more."""
        told = self.world.told
        if told:
            self.turn([told[pick % len(told)] for pick in picks], fate)

    def begin(self, picks: Sequence[int]) -> None:
        for pick in picks:
            slots = sorted(self.world.slots)
            if slots:
                self.world.begin(slots[pick % len(slots)], self.now)

    def end(self, pick: int, reason: Reason | None, seconds: float = 0.001) -> None:
        alive = sorted(one for one in self.world.alive if self._can_end(one))
        if alive:
            attempt = alive[pick % len(alive)]
            if attempt in self.world.turns.asked and pick % 2:
                reason = Reason.YIELDED
            self.world.end(attempt, Outcome(reason, "It ended.", seconds=seconds), self.now)

    def _can_end(self, attempt: AttemptId) -> bool:
        waits = attempt in self.hanging or attempt in self.world.turns.still
        return attempt in self.world.stopping or not waits

    def hang(self, pick: int) -> None:
        """A living call will not end before it is stopped."""
        alive = sorted(self.world.alive)
        if alive:
            self.hanging.add(alive[pick % len(alive)])

    def _must_be_stopped(self, attempt: AttemptId) -> bool:
        timed = attempt in self.hanging and self.world.past[attempt.task].terms.timeout is not None
        return timed or self._stored(attempt.task).cancel_requested or self.twins.has_lost(attempt)

    def wait(self, seconds: float, fate: Fate = OK) -> None:
        self.now += seconds
        self.turn([], fate)

    def choose(self, pick: int, fate: Fate = OK) -> None:
        """Another policy orders what waits, from now on and after a restart. It is a setting, no change of a task."""
        self.policy = list(BUILT_IN.values())[pick % len(BUILT_IN)]
        self.turn([PolicyChosen(self.policy)], fate)

    def pause(self, *, paused: bool) -> None:
        """Nothing new starts, or everything may again. An engine that dies forgets it here: a setting keeps it."""
        self.turn([QueuePaused("paused" if paused else "")], OK)

    def resize(self, cpus: int, fate: Fate = OK) -> None:
        self._size = cpus
        self.turn([NodeChanged(self._node())], fate)

    # --- what must hold

    def _stored(self, name: str) -> Status:
        return done(self.store.tasks([name]))[name].status

    def _look_at_starts(self, started: Sequence[Attempt], events: Sequence[Event]) -> None:
        """Just before they become durable: may these start, by what was durable before and what was asked since?"""
        freed = {(name, event.action) for event in events if isinstance(event, UpdateAsked) for name in event.tasks}
        ended = {event.attempt.task: event.outcome.reason for event in events if isinstance(event, Ended)}
        succeeded = {name for name, reason in ended.items() if reason is None}
        released = (name for name, action in freed if action is Action.RELEASE and self.holders.is_lease(name))
        succeeded.update(released)
        for attempt in started:
            name = attempt.id.task
            assert name not in self.cancelled, f"{name} is started though it is cancelled."
            task = done(self.store.tasks([name])).get(name) or self.fresh[name]
            held = task.status.state is State.HELD and (name, Action.RESUME) not in freed
            assert not held, f"{name} is started though it is held."
            self.sources.check_start(task, done(self.store.tasks(task.after)), succeeded, ended)

    def check(self) -> None:
        """The promises, as far as they can be seen at this moment."""
        stored = done(self.store.tasks(self.known))
        self.rivals.check(stored, self.world.alive)
        self.sources.check(stored)
        self.undos.check(stored, self.cancelled)
        assert set(stored) == set(self.known), f"Acknowledged, and gone: {set(self.known) - set(stored)}."
        for name, task in stored.items():
            status = task.status
            if name in self.ended:
                before = self.ended[name]
                assert (status.state, status.number, status.at) == (before.state, before.number, before.at), (
                    f"{name} had ended as {before}, and is {status}."
                )
            if status.is_final:
                self.ended[name] = status
                if status.state is State.SUCCEEDED:
                    assert self.world.past[name].succeeded, f"{name} is said to have succeeded."
                left = [one for one in self.world.alive if one.task == name]
                lost = status.state is State.SUCCEEDED and all(map(self.twins.goes, left))
                assert lost or not left, f"{name} has ended and is alive."

    def _let_all_end(self) -> None:
        """Whatever runs, as far as it ends by itself, and what is started in its place."""
        for _ in range(40):
            if self.world.inbox:  # a turn without news would look at reservations again and again
                self.deliver(10_000)
            self.begin(range(len(self.world.slots)))
            for attempt in list(self.world.alive):
                still = attempt in self.world.turns.still
                if attempt in self.world.stopping or not (still or self._must_be_stopped(attempt)):
                    self.world.end(attempt, Outcome(seconds=0.001), self.now)
            self.check()
            if not self.world.inbox and not self.world.slots:
                break

    def drain(self) -> None:
        """Nothing is in the way any more: everything ends, or is stopped because that was asked for."""
        self.resize(CPUS)
        self.pause(paused=False)
        series = tuple(name for name, task in self.store_tasks().items() if task.extras.recurs)
        self.rivals.over.update(task.group for task in self.store_tasks().values() if task.extras.recurs)
        self.turn([CancelAsked(series, for_good=frozenset(series))], OK)
        for _ in range(300):  # looks at reservations among them
            if held := [name for name in self.known if self._stored(name).state is State.HELD]:
                self.turn([UpdateAsked(tuple(held), Action.RESUME)], OK)
            self._let_all_end()
            due = self.cluster.next_due()
            if due is None:
                break
            self.wait(max(0.0, due - self.now))
        for task in self.store_tasks().values():
            # Where something was undone the end came later, perhaps by a clock that was set back meanwhile.
            if task.status.reason is Reason.EXPIRED and not task.extras.rollback:
                assert (task.deadline or self.now + 1) <= task.status.at, f"{task} expired too early."
        left = {name: self._stored(name) for name in self.known if not self._stored(name).is_final}
        assert not left, f"These never end: {left}"
        assert not self.world.alive, f"Nobody stops {self.world.alive}."
        room = self.cluster.rooms[LOCAL]
        assert room.free == room.total, f"Reserved for nothing: {room.free} of {room.total}."
        self.figures["tasks"] += len(self.known)
        self.figures["stood still"] += self.world.turns.count
        self.figures["rolled back"] += sum(bool(task.extras.rollback) for task in self.store_tasks().values())
        self.figures.update(self._stored(name).state.value for name in self.known)
