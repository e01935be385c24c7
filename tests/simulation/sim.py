"""The real decision, cluster and store rules in a world of attempts, with an engine that can die between any two lines.

A `Sim` offers verbs: what clients ask (`asking`), what calls do, what the clock and the disk do. After each verb the
promises are checked: against the store, against the world, and against `core.check` (`life`).
"""

from __future__ import annotations

from collections.abc import Sequence

from mcp_scheduler.core.events import (
    Action,
    CancelAsked,
    Outcome,
    PolicyChosen,
    QuarantineLifted,
    QueuePaused,
    UpdateAsked,
)
from mcp_scheduler.core.explain import explain
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import LOCAL
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.policies.catalogue import BUILT_IN
from mcp_scheduler.service.contention import why_blocked
from mcp_scheduler.service.explaining import lines_of
from tests.simulation.asking import Asking
from tests.simulation.idle import check_idle
from tests.simulation.life import done
from tests.simulation.rivals import conflict
from tests.simulation.wanted import CPUS, OK, Fate


class Sim(Asking):
    """All verbs, and what must hold after each, and at the end."""

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
        if self.turn([], fate) and fate is OK and seconds >= 1.0:
            check_idle(self.cluster, self.now)

    def break_down(self, uuid: str) -> None:
        """A device is broken, and has not told: whatever runs there crashes, one after the other."""
        there = [attempt for attempt, (given, _) in self.places.open.items() if uuid in given.devices]
        for attempt in there:
            if attempt in self.world.alive:
                self.now += 0.1
                self.world.end(attempt, Outcome(Reason.CRASHED, "It broke."), self.now)
                self.deliver(10_000)

    def choose(self, pick: int, fate: Fate = OK) -> None:
        """Another policy orders what waits, from now on and after a restart. It is a setting, no change of a task."""
        self.policy = list(BUILT_IN.values())[pick % len(BUILT_IN)]
        self.turn([PolicyChosen(self.policy)], fate)

    def pause(self, *, paused: bool) -> None:
        """Nothing new starts, or everything may again. An engine that dies forgets it here: a setting keeps it."""
        self.turn([QueuePaused("paused" if paused else "")], OK)

    def resize(self, cpus: int, fate: Fate = OK, node: str = LOCAL) -> None:
        self.places.sizes[node] = cpus
        self.turn([self._node_is(node)], fate)

    def lose(self, uuid: str, fate: Fate = OK) -> None:
        """A device is not there any more."""
        is_news = uuid not in self.places.lost  # an engine that has never seen it takes it to be silent
        self.places.lost.add(uuid)
        if self.turn(self.places.seen(), fate) and fate.kind == "ok" and is_news:
            self.places.check_rescued(uuid, self.world.stopping, self.world.alive)

    def find(self, uuid: str, fate: Fate = OK) -> None:
        """It is there again."""
        self.places.lost.discard(uuid)
        self.turn(self.places.seen(), fate)

    def drain_device(self, uuid: str, fate: Fate = OK, *, over: bool = False) -> None:
        """Its owner wants it for himself, or gives it back."""
        (self.places.drained.discard if over else self.places.drained.add)(uuid)
        self.turn([self.places.withheld(uuid)], fate)

    def lift(self, node: str, uuid: str, fate: Fate = OK) -> None:
        self.turn([QuarantineLifted(node, uuid)], fate)

    def worker_goes(self, pick: int) -> None:
        self.world.worker_goes(pick)

    def explain(self, pick: int) -> None:
        """Somebody asks why a task that waits does so, and gets an answer."""
        waiting = [task for task in self.cluster.tasks.values() if task.status.state is State.QUEUED]
        if waiting:
            task = waiting[pick % len(waiting)]
            assert lines_of(explain(self.cluster, task, self.now), self.now) or task.queue is None
            said = why_blocked(task, self.cluster)
            rivals = [name for name, one in self.cluster.tasks.items() if conflict(one.extras, task.extras)]
            assert task.queue or any(name in said for name in rivals), f"{task.id} stands in no queue, as {said!r}."

    # --- what must hold

    def check(self) -> None:
        """The promises, as far as they can be seen at this moment."""
        stored = done(self.store.tasks(self.known))
        self.rivals.check(stored, self.world.alive)
        self.sources.check(stored)
        self.undos.check(stored, self.cancelled)
        self.kept.check(stored)
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
            while self.world.workers.told:
                self.worker_goes(0)
            if not self.world.inbox and not self.world.slots:
                break

    def resume_all(self) -> None:
        if held := [name for name in self.known if self._stored(name).state is State.HELD]:
            self.turn([UpdateAsked(tuple(held), Action.RESUME)], OK)

    def _mend(self) -> None:
        """Everything is there, and nothing is kept from anybody."""
        for name in self.places.sizes:
            self.resize(CPUS, node=name)
        self.places.lost.clear()
        drained = sorted(self.places.drained)
        self.places.drained.clear()
        lifted = [QuarantineLifted(*place) for place in list(self.cluster.breakers.known)]
        self.turn([*map(self.places.withheld, drained), *self.places.seen(), *lifted], OK)
        self.pause(paused=False)

    def drain(self) -> None:
        """Nothing is in the way any more: everything ends, or is stopped because that was asked for."""
        self._mend()
        series = tuple(name for name, task in self.store_tasks().items() if task.extras.recurs)
        self.rivals.over.update(task.group for task in self.store_tasks().values() if task.extras.recurs)
        self.turn([CancelAsked(series, for_good=frozenset(series))], OK)
        for _ in range(300):  # looks at reservations among them
            self.resume_all()
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
        for room in self.cluster.rooms.values():
            assert room.free == room.total, f"Reserved for nothing: {room.free} of {room.total}."
            kept = set(room.devices.held) - self.cluster.resting.keys()
            assert not kept, f"Devices are reserved for nothing: {kept}."
        self.figures["tasks"] += len(self.known)
        self.figures["stood still"] += self.world.turns.count
        self.figures["answered by a stored result"] += sum(
            bool(task.extras.cached_from) for task in self.store_tasks().values()
        )
        self.figures += self.places.figures
        self.figures["rolled back"] += sum(bool(task.extras.rollback) for task in self.store_tasks().values())
        self.figures.update(self._stored(name).state.value for name in self.known)
