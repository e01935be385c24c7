"""All nodes, found by what is free on them: a task is not tried on a thousand nodes to find the few that have room.

Few nodes are simply looked at. Of many, those of equal devices form a kind; each kind has shelves by free cpus, by
devices that are free as a whole, and by the free memory of shared ones. Best fit goes up the shelves from what is
asked for, so that what is whole stays whole; spreading goes down from the emptiest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from mcp_scheduler.core.slots import Room
from mcp_scheduler.core.task import Needs

FEW: Final = 8  # nodes; fewer need no index
LOOKS: Final = 400  # nodes that are tried for one task before it is said to find no room
_REMEMBERED: Final = 4096
Shelf = dict[str, None]


@dataclass(slots=True)
class Kind:
    """Nodes with equal devices. `shelves`: (what is measured, how much is free) → nodes."""

    sample: Room
    rooms: dict[str, Room] = field(default_factory=dict[str, Room])
    shelves: dict[str, dict[int, Shelf]] = field(default_factory=dict[str, dict[int, Shelf]])


class Floor:
    """Every room of the cluster."""

    def __init__(self, rooms: dict[str, Room]) -> None:
        self._rooms = rooms
        self._kinds: dict[tuple[str, ...], Kind] = {}
        self._kind_of: dict[str, Kind] = {}
        self._places: dict[str, list[tuple[str, int]]] = {}  # node → shelves that it stands on
        self._moved: dict[str, None] = {}  # nodes that have changed since they were put on their shelves
        self.totals: dict[str, int] = {}  # what all nodes have together
        self._is_stale = True
        self._able: dict[Needs, bool] = {}  # whether any node could ever run them
        self._fitting: dict[Needs, list[Room]] = {}  # of few nodes those that could, for needs without devices
        self._shares: dict[Needs, float] = {}

    def came(self, room: Room) -> None:
        """A node is there, or what it has in all has changed."""
        if len(self._rooms) > FEW:
            for other in self._rooms.values() if len(self._rooms) == FEW + 1 else (room,):
                other.on_change = self._note
        self._is_stale = True
        self._able.clear()
        self._fitting.clear()
        self._moved[room.node.name] = None

    def _note(self, room: Room) -> None:
        self._moved[room.node.name] = None

    # --- asking

    def has_cpus(self, least: int) -> bool:
        """Whether any node could take even a task of so few thousandths of a cpu."""
        if len(self._rooms) <= FEW:
            for room in self._rooms.values():  # noqa: SIM110 - asked twice for every head that is looked at
                if room.free.get("cpus", 0) >= least:
                    return True
            return False
        self._settle()
        step = _step(least)
        return any(shelf and at >= step for kind in self._kinds.values() for at, shelf in kind.shelves["cpus"].items())

    def candidates(self, needs: Needs) -> Iterator[Room]:
        """Nodes that may have room, the best first: those on which the least of the devices is left over; for work
        without devices those without free ones."""
        if len(self._rooms) <= FEW:
            yield from self._rooms.values()
            return
        self._settle()
        measure, step = _measure(needs)
        if not needs.has_devices:
            measure, step = "spare", 0
        kinds = [kind for kind in self._kinds.values() if _answers(kind.sample, needs)]
        steps = sorted({at for kind in kinds for at in kind.shelves.get(measure, ()) if at >= step})
        looks = 0
        for at in steps:
            for kind in kinds:
                for name in kind.shelves[measure].get(at, ()):
                    looks += 1
                    if looks > LOOKS:
                        return
                    yield self._rooms[name]

    def emptiest(self, needs: Needs) -> Iterator[Room]:
        """Nodes that may have room, those with the most free first."""
        if len(self._rooms) <= FEW:
            yield from self._rooms.values()
            return
        self._settle()
        measure, step = _measure(needs)
        kinds = [kind for kind in self._kinds.values() if _answers(kind.sample, needs)]
        for at in sorted({at for kind in kinds for at in kind.shelves.get(measure, ()) if at >= step}, reverse=True):
            for kind in kinds:
                for name in kind.shelves[measure].get(at, ()):
                    yield self._rooms[name]

    def largest(self, needs: Needs, count: int) -> Sequence[Room]:
        """Nodes that could run such a task if they were empty; of many, `count` of those with the most free."""
        if len(self._rooms) <= FEW:
            if needs.has_devices:
                return [room for room in self._rooms.values() if room.could_ever_fit(needs)]
            fitting = self._fitting.get(needs)
            if fitting is None:
                if len(self._fitting) >= _REMEMBERED:
                    self._fitting.clear()
                fitting = self._fitting[needs] = [room for room in self._rooms.values() if room.could_ever_fit(needs)]
            return fitting
        self._settle()
        found: list[Room] = []
        measure, _ = _measure(needs)
        for kind in self._kinds.values():
            if not _answers(kind.sample, needs):
                continue
            shelves = kind.shelves.get(measure, {})
            names = (name for at in sorted(shelves, reverse=True) for name in shelves[at])
            able = (self._rooms[name] for name in names if self._rooms[name].could_ever_fit(needs))
            found += islice(able, count)
        return found[: count * 2]

    def could_ever_fit(self, needs: Needs) -> bool:
        able = self._able.get(needs)
        if able is None:
            if len(self._able) >= _REMEMBERED:
                self._able.clear()
            able = self._able[needs] = bool(self.largest(needs, 1))
        return able

    def share(self, needs: Needs) -> float:
        """The largest part of any resource of the whole cluster that these needs take: their dominant share."""
        self._count()
        share = self._shares.get(needs)
        if share is None:
            if len(self._shares) >= _REMEMBERED:
                self._shares.clear()
            share = self._shares[needs] = self._share_of(needs)
        return share

    def _share_of(self, needs: Needs) -> float:
        share = 1e-6
        for name, amount in needs.amounts:
            total = self.totals.get(name, 0)
            if total:
                share = max(share, amount / total)
        if needs.gpu_memory and self.totals.get("gpu_memory"):
            share = max(share, max(1, needs.gpus) * needs.gpu_memory / self.totals["gpu_memory"])
        elif needs.gpus and self.totals.get("gpus"):
            share = max(share, needs.gpus / self.totals["gpus"])
        return share

    def _count(self) -> None:
        if not self._is_stale:
            return
        self._is_stale = False
        self._shares.clear()
        self.totals = {}
        for room in self._rooms.values():
            for name, amount in room.total.items():
                self.totals[name] = self.totals.get(name, 0) + amount
            states = room.devices.states
            if states:
                self.totals["gpus"] = self.totals.get("gpus", 0) + len(states)
                memory = sum(state.seen.total or 0 for state in states.values())
                self.totals["gpu_memory"] = self.totals.get("gpu_memory", 0) + memory

    # --- the shelves

    def _settle(self) -> None:
        """Put the nodes that have changed where they belong now."""
        for name in self._moved:
            room = self._rooms[name]
            labels = tuple(state.seen.label for state in room.devices.ordered)
            kind = self._kinds.get(labels)
            if kind is None:
                kind = self._kinds[labels] = Kind(room)
            old = self._kind_of.get(name)
            for measure, step in self._places.get(name, ()):
                assert old is not None
                old.shelves[measure][step].pop(name, None)
                if not old.shelves[measure][step]:
                    del old.shelves[measure][step]
            self._kind_of[name] = kind
            places = self._places[name] = list(_places(room))
            for measure, step in places:
                kind.shelves.setdefault(measure, {}).setdefault(step, {})[name] = None
        self._moved.clear()

    @property
    def rooms(self) -> Iterable[Room]:
        return self._rooms.values()


def _places(room: Room) -> Iterator[tuple[str, int]]:
    yield "cpus", _step(max(0, room.free.get("cpus", 0)))
    yield "spare", round(spare(room) * 8)
    states = room.devices.ordered
    if states:
        yield "whole", sum(state.is_open_whole for state in states)
        yield from {("shared", _step(state.open_bytes)): None for state in states if state.open_bytes > 0}


def spare(room: Room) -> float:
    """The part of a node's devices that is free, 0 to 1: what work without devices makes useless when it takes the
    node's CPUs."""
    states = room.devices.ordered
    free = sum(1.0 if state.is_open_whole else max(0, state.open_bytes) / (state.seen.total or 1) for state in states)
    return free / len(states) if states else 0.0


def _measure(needs: Needs) -> tuple[str, int]:
    """On which shelf, from which step on, there may be room."""
    if needs.gpu_memory:
        return "shared", _step(needs.gpu_memory)
    if needs.gpus:
        return "whole", needs.gpus
    return "cpus", _step(next((amount for name, amount in needs.amounts if name == "cpus"), 0))


def _step(amount: int) -> int:
    """Equal for amounts within an eighth of each other."""
    bits = max(0, amount.bit_length() - 4)
    return bits * 16 + (amount >> bits)


def _answers(sample: Room, needs: Needs) -> bool:
    """Whether nodes of this kind have such devices at all."""
    if not needs.has_devices:
        return True
    return sample.devices.could_ever_fit(needs)
