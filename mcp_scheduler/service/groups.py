"""Graphs and maps as one handle: their members, and how many of them stand in which state.

A group is loaded from the store when somebody first asks; from then on each commit keeps its counts right. To ask for
a count costs the same at any number of members.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakValueDictionary

from mcp_scheduler.core.changes import Changes
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.events import Group
from mcp_scheduler.core.states import FINAL, State
from mcp_scheduler.core.task import Task
from mcp_scheduler.ports import Store

KEPT: Final = 1000  # groups in memory; the oldest that nobody asked for lately go first
MEMBERS: Final = 200_000  # of all of them together


@dataclass(slots=True, weakref_slot=True, eq=False)
class Tally:
    """One group. `total`: how many pieces of work there are (items, of which those in stages count once, and tasks);
    `left`: how many of them have not ended."""

    group: Group
    states: dict[str, State] = field(default_factory=dict[str, State])  # member → state, in arrival order
    counts: Counter[State] = field(default_factory=Counter[State])
    failed: dict[str, None] = field(default_factory=dict[str, None])  # the members that have, in that order
    total: int = 0
    left: int = 0
    _places: dict[str, int] = field(default_factory=dict[str, int])
    _running: dict[str, None] = field(default_factory=dict[str, None])  # chunks
    _done: list[int] = field(default_factory=list[int])  # items that have succeeded in each stage
    _in_stages: int = 0  # members, the first ones, that are items or chunks in a stage

    def __post_init__(self) -> None:
        self._done = [0] * self.group.stages
        self._in_stages = self.group.units * self.group.stages

    @property
    def open(self) -> int:
        """Members that have not ended."""
        return sum(count for state, count in self.counts.items() if state not in FINAL)

    def note(self, task_id: str, state: State) -> None:
        """A member has come, or stands in another state."""
        old = self.states.get(task_id)
        if old is state:
            return
        self.states[task_id] = state
        self.counts[state] += 1
        if old is None:
            place = self._places[task_id] = len(self._places)
            self.total += self._pieces(place)
        else:
            self.counts[old] -= 1
            if not (self.group.chunk or old in FINAL or state in FINAL):
                return  # as most often: what is told of it beyond its state is the same
            place = self._places[task_id]
            self._count(task_id, place, old, -1)
        self._count(task_id, place, state, 1)

    def _count(self, name: str, place: int, state: State, by: int) -> None:
        if state not in FINAL:
            self.left += by * self._pieces(place)
            if state is State.RUNNING and self.group.chunk:
                _put(self._running, name, by)
        elif state is State.FAILED:
            _put(self.failed, name, by)
        elif state is State.SUCCEEDED and place < self._in_stages:
            self._done[place % self.group.stages] += by * (self.group.items_of(place) or 1)

    def _pieces(self, place: int) -> int:
        if not self._in_stages and not self.group.folds:
            return 1
        return (self.group.items_of(place) or 1) if self.group.has_result(place) else 0

    def done(self) -> tuple[int, ...]:
        """How many items have succeeded in each stage; () for what has but one."""
        return () if self.group.stages == 1 else tuple(self._done)

    @property
    def items_done(self) -> int:
        """How many items have succeeded in the last stage, those of running chunks left out."""
        return self._done[-1]

    def chunks_under_way(self) -> Iterator[tuple[str, int]]:
        """The chunks that run in the last stage, and how many items each has."""
        for name in self._running:
            place = self._places[name]
            if place < self._in_stages and self.group.has_result(place):
                yield name, self.group.items_of(place)

    def with_results(self, states: frozenset[State]) -> list[str]:
        """The members in one of these states whose results are those of the whole."""
        return [
            name
            for place, (name, state) in enumerate(self.states.items())
            if state in states and self.group.has_result(place)
        ]

    def flat(self, results: Mapping[str, Any]) -> list[Any]:
        """The members' results in their order, those of chunks item by item, of stages the last; None where there is
        none."""
        found: list[Any] = []
        for place, name in enumerate(self.states):
            if not self.group.has_result(place):
                continue
            size, value = self.group.items_of(place), results.get(name)
            if not size:
                found.append(value)
            else:
                found += value if isinstance(value, list) else [None] * size
        return found


def _put(names: dict[str, None], name: str, by: int) -> None:
    if by > 0:
        names[name] = None
    else:
        names.pop(name, None)


@dataclass(slots=True, eq=False)
class _Reading:
    """A group that is being read from the store, and what is committed meanwhile: the read may know nothing of it."""

    group_id: str
    news: dict[str, State] = field(default_factory=dict[str, State])  # member → state


class Groups:
    """The groups somebody has asked about. One that is in somebody's hands is kept up to date, however many are asked
    for meanwhile."""

    def __init__(self, cluster: Cluster, store: Store, members: int = MEMBERS) -> None:
        self._cluster = cluster
        self._store = store
        self._tallies: WeakValueDictionary[str, Tally] = WeakValueDictionary()
        self._kept: OrderedDict[str, Tally] = OrderedDict()  # the one that was asked for last is the last
        self._readings: list[_Reading] = []
        self._most = members

    async def get(self, group_id: str) -> Tally | None:
        """The group, or None where there is no such group."""
        tally = self._tallies.get(group_id)
        if tally is None:
            reading = _Reading(group_id)
            self._readings.append(reading)
            try:
                group = await self._store.group(group_id)
                if group is None:
                    return None
                members = await self._store.members(group_id)
            finally:
                self._readings.remove(reading)
            tally = self._tallies.get(group_id) or self._tally(group, members, reading.news)
            self._keep(tally)
            self._forget()
        else:
            self._keep(tally)
        return tally

    def _tally(self, group: Group, members: list[Task], news: Mapping[str, State]) -> Tally:
        """Memory knows the members' states better than what was read a moment ago; `news`, which of them came since."""
        tally = Tally(group)
        for stored in members:
            task = self._cluster.tasks.get(stored.id, stored)
            tally.note(task.id, task.status.state)
        for task_id, state in news.items():
            tally.note(task_id, state)
        return tally

    def _keep(self, tally: Tally) -> None:
        self._tallies[tally.group.id] = self._kept[tally.group.id] = tally
        self._kept.move_to_end(tally.group.id)

    def committed(self, changes: Changes) -> None:
        """Keep up with a commit."""
        for group in changes.groups:
            self._keep(Tally(group))
        for new in changes.added:
            self._note(new.task, new.task.status.state)
        if self._tallies or self._readings:
            for task_id, status in changes.statuses.items():
                task = self._cluster.tasks.get(task_id)
                if task is not None:
                    self._note(task, status.state)
        if changes.groups:
            self._forget()

    def _note(self, task: Task, state: State) -> None:
        if not task.group:
            return
        tally = self._tallies.get(task.group)
        if tally is not None:
            tally.note(task.id, state)
        for reading in self._readings:
            if reading.group_id == task.group:
                reading.news[task.id] = state

    def _forget(self) -> None:
        """The newest one stays, whatever its size."""
        members = sum(len(tally.states) for tally in self._kept.values())
        while len(self._kept) > 1 and (len(self._kept) > KEPT or members > self._most):
            _, tally = self._kept.popitem(last=False)
            members -= len(tally.states)
