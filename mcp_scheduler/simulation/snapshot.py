"""The live state at one moment, copied: what a dry run starts from.

It is taken on the engine's loop, between two decisions, and then belongs to nobody else: a thread may build clusters of
it while the engine goes on. Nothing of it ever leads back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from typing import Final

from mcp_scheduler.core.breakers import Breakers
from mcp_scheduler.core.cluster import Cluster, Policy
from mcp_scheduler.core.devices import DeviceState
from mcp_scheduler.core.estimates import Expected
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Attempt, Node
from mcp_scheduler.core.pace import Pace
from mcp_scheduler.core.seen import GpuSeen
from mcp_scheduler.core.slots import Guard, Room, Slot
from mcp_scheduler.core.states import FINAL, State
from mcp_scheduler.core.task import NO_EXTRAS, Kind, Task, Terms
from mcp_scheduler.core.usage import Usage

MOST: Final = 5000  # unfinished tasks in one picture
_LOOKS: Final = 50_000  # tasks that are looked at for those that do not stand in a queue
_FIELDS: Final = tuple(one.name for one in fields(Task))

Key = tuple[Kind, str, int, str]  # of forecasts: what runs, the size of its input, the class of the device


class Known:
    """What was forecast for the tasks of a snapshot, when it was taken. Nothing is learnt from a dry run."""

    def __init__(self) -> None:
        self._answers: dict[Key, Expected | None] = {}
        self._strangers: set[tuple[Kind, str]] = set()

    def note(self, cluster: Cluster, task: Task, classes: Iterable[str], *, is_stranger: bool) -> None:
        """Ask the live forecasts about this task, once for all that are alike. `is_stranger`: nothing like it has ever
        ended, so what they say is what calls take on the whole."""
        if is_stranger:
            self._strangers.add((task.terms.kind, task.terms.target))
        for name in ("", *classes) if task.terms.needs.has_devices else ("",):
            key = (task.terms.kind, task.terms.target, task.size, name)
            if key not in self._answers:
                self._answers[key] = cluster.expected(task, name)

    def expected(self, task: Task, device_class: str = "", /) -> Expected | None:
        terms = task.terms
        return self._answers.get((terms.kind, terms.target, task.size, device_class))

    def is_stranger(self, task: Task) -> bool:
        """Whether its time is assumed, and not forecast."""
        return (task.terms.kind, task.terms.target) in self._strangers

    def learn(self, terms: Terms, size: int, device_class: str, seconds: float, *, at_least: bool = False) -> None:
        """What a dry run seems to show is what was put into it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A node, how loaded it is, and its devices without what our own tasks have on them. `guard`: how far the node is
    trusted; `probation`: the devices that are for one task at a time; `limit`: thousandths of CPUs that its pool offers
    now, 0 for all."""

    node: Node
    load: float
    devices: tuple[GpuSeen, ...]
    withheld: tuple[tuple[str, str, str], ...]  # device, cause, why
    probation: tuple[str, ...] = ()
    guard: Guard = Guard.NONE
    limit: int = 0


@dataclass(slots=True)
class Snapshot:
    """Facts of one moment. `left_out`: unfinished tasks that were too many to be looked at."""

    now: float
    tasks: list[Task]
    attempts: list[Attempt]
    places: list[Place]
    resting: list[Slot]
    windows: dict[str, float]  # what a target is taken to need at most, where calls queue up behind each other
    pace: Pace
    usage: Usage
    breakers: Breakers
    warm_seconds: float
    next_seq: int
    left_out: int = 0
    still: dict[AttemptId, float] = field(default_factory=dict[AttemptId, float])  # who stands still → since when
    known: Known = field(default_factory=Known)

    def cluster(self, policy: Policy) -> Cluster:
        """A cluster of its own, in this state, under this policy."""
        made = Cluster(policy)
        made.forecasts = self.known
        made.pace, made.usage, made.warm_seconds = self.pace.copy(), self.usage.copy(), self.warm_seconds
        made.breakers = self.breakers.copy()
        for target, seconds in self.windows.items():
            made.estimates.learn(target, seconds)
        for place in self.places:
            made.set_node(place.node)
            room = made.rooms[place.node.name]
            room.load, room.guard, room.limit = place.load, place.guard, place.limit
            room.devices.observe(place.devices)
            for uuid, cause, why in place.withheld:
                room.devices.withhold(uuid, cause, why)
            for uuid in place.probation:
                room.devices.set_probation(uuid, on=True)
        made.load(map(same, self.tasks), self.attempts, self.next_seq)
        made.resting = {slot.id: copy(slot) for slot in self.resting}
        for slot in made.resting.values():
            slot.attempts = {}
        made.slices.told = dict(self.still)
        made.rebuild()
        made.ready.refresh(self.now, made.pace.seconds)
        return made

    def classes(self) -> list[str]:
        """The kinds of devices that there are."""
        return list(dict.fromkeys(device.label for place in self.places for device in place.devices))


def take(cluster: Cluster, now: float, most: int = MOST) -> Snapshot:
    """The present state, with at most so many unfinished tasks: those that run, then those that go first. A few
    milliseconds for each thousand of them, whatever else waits."""
    chosen = _chosen(cluster, most)
    targets = {task.terms.target for task in chosen}
    seconds = {target: cluster.estimates.seconds(target) for target in targets}
    names = {task.id for task in chosen}
    return Snapshot(
        now,
        [_once(task) for task in chosen],
        [attempt for attempt in cluster.attempts.values() if attempt.id.task in names],
        [_place(room) for room in cluster.rooms.values()],
        [copy(slot) for slot in cluster.resting.values()],
        {target: known for target, known in seconds.items() if known is not None},
        cluster.pace.copy(),
        cluster.usage.copy(),
        cluster.breakers.copy(),
        cluster.warm_seconds,
        cluster.next_seq,
        cluster.unfinished - len(chosen),
        {attempt: since for attempt, since in cluster.slices.told.items() if attempt.task in names},
    )


def _chosen(cluster: Cluster, most: int) -> list[Task]:
    if cluster.unfinished <= most:
        return [task for task in cluster.tasks.values() if _is_to_end(cluster, task)]
    running = (cluster.tasks[attempt.task] for attempt in cluster.attempts)
    # All of them: they hold what the others wait for. (Of what has ended a copy may not be gone yet.)
    chosen = {task.id: task for task in running if task.status.state not in FINAL}
    for task in islice(cluster.ready.in_order(), max(0, most - len(chosen))):
        chosen[task.id] = task
    for task in islice(cluster.tasks.values(), _LOOKS):
        if len(chosen) >= most:
            break
        if _is_to_end(cluster, task) and task.id not in chosen and _can_go_on(cluster, task, chosen):
            chosen[task.id] = task
    return sorted(chosen.values(), key=lambda task: task.seq)


def _is_to_end(cluster: Cluster, task: Task) -> bool:
    """Whether the task has an end to come. A compensation has none as long as nothing has failed, and here nothing
    will."""
    if task.extras.undoes and task.status.state is State.PENDING:
        found = cluster.rollbacks.get(task.extras.saga)
        return found is not None and bool(found.failed)
    return task.status.state not in FINAL


def _can_go_on(cluster: Cluster, task: Task, chosen: dict[str, Task]) -> bool:
    """Whether all that it waits for is in the picture, too: else it would seem to wait for nothing."""
    others = (cluster.tasks.get(name) for name in (*task.after, *task.extras.behind))
    return all(other is None or other.status.state in FINAL or other.id in chosen for other in others)


def same(task: Task) -> Task:
    """A copy, made ten times as fast as `copy` makes one: the engine waits for thousands of them."""
    made: Task = object.__new__(Task)
    for name in _FIELDS:
        setattr(made, name, getattr(task, name))
    return made


def _once(task: Task) -> Task:
    """A copy that does not recur: a series would go on for ever."""
    made = same(task)
    made.queue = None
    if made.extras is not NO_EXTRAS and made.extras.recurs:
        made.extras = replace(made.extras, every=0.0, cron="")
    return made


def _place(room: Room) -> Place:
    states = room.devices.states
    withheld: Iterator[tuple[str, str, str]] = (
        (uuid, cause, why) for uuid, state in states.items() for cause, why in state.withheld.items()
    )
    seen = tuple(_without_ours(state) for state in states.values() if state.was_seen)
    probation = tuple(uuid for uuid, state in states.items() if state.on_probation)
    return Place(room.node, room.load, seen, tuple(withheld), probation, room.guard, room.limit)


def _without_ours(state: DeviceState) -> GpuSeen:
    """The device as it would be without our tasks. In the dry run they come and go; what others have in use stays."""
    seen = state.seen
    others = tuple(one for one in seen.processes if one.owner == "" or (one.owner is None and not state.promises))
    if not seen.live or seen.used is None or seen.free is None:
        return replace(seen, processes=others)
    whole = seen.used + seen.free
    foreign = min(max(state.account.foreign, 0), whole)
    return replace(seen, used=foreign, free=whole - foreign, processes=others)
