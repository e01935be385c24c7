"""Graphs and maps as one handle: their members, and how many of them stand in which state.

A group is loaded from the store when somebody first asks; from then on each commit keeps its counts right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from mcp_scheduler.core.changes import Changes
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.events import Group
from mcp_scheduler.core.states import FINAL, State
from mcp_scheduler.core.task import Task
from mcp_scheduler.ports import Store

_KEPT = 1000  # groups in memory; the oldest that nobody asked for lately go first


@dataclass(slots=True)
class Tally:
    """One group."""

    group: Group
    states: dict[str, State] = field(default_factory=dict[str, State])  # member → state, in arrival order
    counts: Counter[State] = field(default_factory=Counter[State])

    @property
    def open(self) -> int:
        """Members that have not ended."""
        return sum(count for state, count in self.counts.items() if state not in FINAL)

    @property
    def total(self) -> int:
        """How many pieces of work there are: items (of which those in stages count once), and tasks."""
        return sum(self._pieces(place) for place in range(len(self.states)))

    @property
    def left(self) -> int:
        """How many of them have not ended."""
        if not self.group.items:
            return self.open
        return sum(self._pieces(place) for place, state in enumerate(self.states.values()) if state not in FINAL)

    def _pieces(self, place: int) -> int:
        return (self.group.items_of(place) or 1) if self.group.has_result(place) else 0

    def done(self) -> tuple[int, ...]:
        """How many items have succeeded in each stage; () for what has but one."""
        if self.group.stages == 1:
            return ()
        found = [0] * self.group.stages
        for place, state in enumerate(islice(self.states.values(), self.group.units * self.group.stages)):
            if state is State.SUCCEEDED:
                found[place % self.group.stages] += self.group.items_of(place) or 1
        return tuple(found)

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

    def note(self, task_id: str, state: State) -> None:
        old = self.states.get(task_id)
        if old is not None:
            self.counts[old] -= 1
        self.states[task_id] = state
        self.counts[state] += 1


class Groups:
    """The groups somebody has asked about."""

    def __init__(self, cluster: Cluster, store: Store) -> None:
        self._cluster = cluster
        self._store = store
        self._tallies: dict[str, Tally] = {}

    async def get(self, group_id: str) -> Tally | None:
        """The group, or None where there is no such group."""
        tally = self._tallies.pop(group_id, None)
        if tally is None:
            group = await self._store.group(group_id)
            if group is None:
                return None
            members = await self._store.members(group_id)
            tally = self._tallies.get(group_id) or self._tally(group, members)
        self._tallies[group_id] = tally
        return tally

    def _tally(self, group: Group, members: list[Task]) -> Tally:
        """Memory knows the members' states better than what was read a moment ago."""
        tally = Tally(group)
        for stored in members:
            task = self._cluster.tasks.get(stored.id, stored)
            tally.note(task.id, task.status.state)
        return tally

    def committed(self, changes: Changes) -> None:
        """Keep up with a commit."""
        for group in changes.groups:
            self._tallies[group.id] = Tally(group)
        for new in changes.added:
            tally = self._tallies.get(new.task.group) if new.task.group else None
            if tally is not None:
                tally.note(new.task.id, new.task.status.state)
        if self._tallies:
            for task_id, status in changes.statuses.items():
                task = self._cluster.tasks.get(task_id)
                tally = self._tallies.get(task.group) if task is not None and task.group else None
                if tally is not None:
                    tally.note(task_id, status.state)
        while len(self._tallies) > _KEPT:
            del self._tallies[next(iter(self._tallies))]
