"""What clients ask, in made-up words: submissions with all their fields, cancels and updates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mcp_scheduler.core.events import (
    Action,
    CancelAsked,
    Event,
    NewTask,
    Submitted,
    UpdateAsked,
)
from mcp_scheduler.core.states import FINAL, State
from mcp_scheduler.core.task import Extras, Kind, Status, Task
from mcp_scheduler.service import caching
from tests.simulation.kept import may_be_cached
from tests.simulation.life import Life, done
from tests.simulation.rivals import nearest
from tests.simulation.twins import ask_for_copies
from tests.simulation.undos import undoing_extras
from tests.simulation.wanted import EVERY, OK, SHAPES, Fate, Wanted
from tests.simulation.world import Past


class Asking(Life):
    """Everything that is asked is lawful; whether it becomes durable depends on the engine's fate."""

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
        done(caching.answer(self.store, event.tasks, {new.task.digest: "" for new in event.tasks}))
        for new in event.tasks:
            self.kept.know(new)
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

    def _new(self, one: Wanted, siblings: list[Task]) -> NewTask:
        seq = self.cluster.take_seq()
        self._seq = max(self._seq, seq + 1)
        name = f"t{seq}-1"
        choices = [] if one.every else [*self.known, *(task.id for task in siblings)]
        after = tuple(dict.fromkeys(choices[pick % len(choices)] for pick in one.after)) if choices else ()
        start = self.now + one.delay if one.delay else 0.0
        asked = EVERY[one.shape % len(EVERY)]
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
        if one.pin or one.inputs:
            task.extras = replace(task.extras, pin=one.pin, pin_for=one.pin_for, inputs=one.inputs)
        if one.cache and may_be_cached(task):
            task.digest = f"{asked.principal} {asked.target}"
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
        # One that has just ended stands for the one that follows it: its wish was on its way.
        series = {
            task.group
            for task in done(self.store.tasks(list(whole))).values()
            if task.extras.recurs or (task.extras.over and task.status.is_final)
        }
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
                    self.cancelled.discard(name)  # who cancels what was skipped before changes nothing
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
