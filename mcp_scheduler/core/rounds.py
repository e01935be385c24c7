"""What one round of placement has found out so far, and the opening of slots in it."""

from __future__ import annotations

from mcp_scheduler.core import advance, slicing, warm
from mcp_scheduler.core.claims import Claims, hold_back
from mcp_scheduler.core.draft import Draft
from mcp_scheduler.core.ready import Parked
from mcp_scheduler.core.slots import NOTHING, Room, Slot
from mcp_scheduler.core.task import Needs, Task
from mcp_scheduler.core.yielding import NOBODY, over


class Round:
    """What one round has found out: heads passed over, claims made, and the needs for which there is no room."""

    __slots__ = (
        "blocked",
        "claims",
        "coming",
        "full",
        "is_shut",
        "looks",
        "made_room",
        "only",
        "over",
        "parked",
        "still",
        "too_long",
    )

    def __init__(self, draft: Draft) -> None:
        cluster = draft.cluster
        self.coming = advance.line(draft) if cluster.coming.tasks else []  # those whose place is kept in advance
        self.still = slicing.line(draft) if cluster.slices.still else []  # those that stand still
        self.over = over(draft) if cluster.slices.turns else NOBODY  # who may have to make way
        self.made_room: Task | None = None  # others have made way for it
        self.only = next(iter(cluster.rooms.values())) if len(cluster.rooms) == 1 else None  # the one node there is
        self.parked: Parked = []
        self.claims = Claims()
        self.full: set[Needs] = set()
        self.too_long: dict[tuple[Needs, str], float] = {}  # → the shortest time that claims leave no room for
        self.looks = 0
        self.is_shut = False  # claims keep all the CPUs of the one node there is
        self.blocked: Task | None = None  # the last one that found no room, for which nothing is kept yet

    def keep(self, draft: Draft, task: Task) -> None:
        """The round goes on: keep what the last one lacks."""
        self.blocked = None
        if self.only is not None and self.claims and self.claims.covers(self.only, task.terms.needs):
            return
        hold_back(draft, task, self.claims)
        least = draft.cluster.ready.least_cpus
        if self.only is not None and self.claims and least and not self.still:
            self.is_shut = self.claims.keeps_all(self.only.node.name, least, draft.now)

    def keep_in_advance(self, draft: Draft, head: float | None) -> None:
        """Whoever comes soon and goes before the head of the queue has its place kept."""
        while self.coming and (head is None or self.coming[-1][0] <= head):
            _, task, at = self.coming.pop()
            advance.keep(draft, task, at, self.claims)

    def finds_nothing(self, needs: Needs) -> bool:
        """Whether there is no room at all for them, as far as that is known or seen at once."""
        if self.full and needs in self.full:
            return True
        if self.only is None or self.only.has_amounts(needs):
            return False
        self.full.add(needs)
        return True

    def is_too_long(self, task: Task, upper: float) -> bool:
        key = (task.terms.needs, task.group)
        return key in self.too_long and upper >= self.too_long[key]


def try_room(
    draft: Draft, task: Task, room: Room, until: float, claims: Claims, taken: frozenset[str] = NOTHING
) -> tuple[Slot | None, bool]:
    """A slot on this node, on none of the devices that are `taken`; or None, and whether that is for want of room, not
    because of claims."""
    if not room.has_amounts(task.terms.needs):
        return None, True
    return open_in(draft, task, room, until, claims, taken)


def open_in(
    draft: Draft, task: Task, room: Room, until: float, claims: Claims, taken: frozenset[str] = NOTHING
) -> tuple[Slot | None, bool]:
    """The same, where all but devices is known to be free."""
    needs = task.terms.needs
    avoid = claims.admits(room.node.name, task, until) if claims else NOTHING
    if avoid is None:
        return None, False
    if taken:
        avoid |= taken
    if not needs.has_devices:
        return _open_slot(draft, task, room, avoid), False
    slot = warm.rise(draft.cluster, room, task.terms, avoid, own=True)
    if slot is None and room.devices.choose(needs, avoid) is not None:
        slot = _open_slot(draft, task, room, avoid)
    if slot is None:
        slot = warm.rise(draft.cluster, room, task.terms, avoid)
    return slot, not avoid


def _open_slot(draft: Draft, task: Task, room: Room, avoid: frozenset[str]) -> Slot:
    cluster = draft.cluster
    name = f"{task.id}.{draft.status(task).number + 1}"  # as its first attempt will be called
    devices = room.take(name, task.terms.needs, avoid)
    slot = cluster.slots[name] = room.slots[name] = Slot(name, room.node.name, task.terms, devices)
    slot.share = cluster.floor.share(task.terms.needs)
    cluster.hungry[name] = slot
    return slot
