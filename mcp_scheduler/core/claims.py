"""Reservations for what has to wait (EASY): the first blocked task gets a time and a place; others go before it only if
they end before that time, or use what it does not need.

A claim is made anew in every round from what runs then. It lasts as long as the estimates hold: a task that is still
blocked long after its first promise is not passed over any more (`strict`): whatever it has once found short is
kept for it while it waits. So nothing starves, however wrong the estimates are: see `blocked`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

from mcp_scheduler.core import warm
from mcp_scheduler.core.blocked import GRACE, Blocked
from mcp_scheduler.core.draft import Draft
from mcp_scheduler.core.seen import Health
from mcp_scheduler.core.shadows import Shadow, shadow
from mcp_scheduler.core.slices import CPUS
from mcp_scheduler.core.slots import NOTHING, Guard, Room, Slot
from mcp_scheduler.core.task import Needs, Task

CLAIMS: Final = 4  # in one round, on different resources
TRIES: Final = 8  # blocked tasks for which one is looked for
_LEAST_WAIT: Final = 0.05  # seconds until the next look at a claim, at least
NODES: Final = 32  # that are looked at for one claim


@dataclass(slots=True)
class Claim:
    """What of a node is kept for a waiting task. `until`: whatever ends by then may use it meanwhile; `extra`: what
    may be taken beside it, for longer; `lacked`: the names of what is short; `devices`: which of them are kept."""

    task: Task
    until: float
    extra: dict[str, int]
    lacked: frozenset[str] = NOTHING
    devices: frozenset[str] = NOTHING
    graph: str = ""  # whose tasks may go before it all the same


class Claims(dict[str, list[Claim]]):
    """The claims of one round, by node: a dict, because it is asked for every task whether there are any."""

    count = 0
    tries = 0

    def add(self, node: str, claim: Claim) -> None:
        self.setdefault(node, []).append(claim)

    def on(self, node: str) -> list[Claim]:
        return self.get(node, [])

    def admits(self, node: str, task: Task, until: float) -> frozenset[str] | None:
        """The devices to avoid for a task that ends by `until`; None if it would delay somebody.

        Of one graph only the end counts, and the more of it runs the sooner it comes: its tasks may pass each other.
        """
        avoid = NOTHING
        for claim in self.get(node, ()):
            if until <= claim.until or (claim.graph and claim.graph == task.group):
                continue
            for name, amount in task.terms.needs.amounts:
                if amount > claim.extra.get(name, amount):
                    return None
            avoid |= claim.devices
        return avoid

    def admits_refill(self, slot: Slot, until: float) -> bool:
        """Whether another call may be put into a slot: it would hold for longer what the slot holds."""
        for claim in self.get(slot.node, ()):
            if until > claim.until and (
                any(name in claim.lacked for name, _ in slot.terms.needs.amounts)
                or not claim.devices.isdisjoint(slot.devices)
            ):
                return False
        return True

    def started(self, node: str, needs: Needs, until: float) -> None:
        """A task was started beside the claims: less is left beside those that it outlasts."""
        for claim in self.get(node, ()):
            if until > claim.until:
                for name, amount in needs.amounts:
                    if name in claim.extra:
                        claim.extra[name] -= amount

    def keeps_all(self, node: str, least: int, now: float) -> bool:
        """Whether nothing new can start there before somebody ends: one claim has no term that is still to come, and
        leaves less than the `least` thousandths of a CPU that each who waits needs."""
        return any(
            claim.until < now and claim.extra.get(CPUS, least) < least and not claim.graph for claim in self.on(node)
        )

    def devices(self, node: str) -> frozenset[str]:
        if node not in self:
            return NOTHING
        return NOTHING.union(*(claim.devices for claim in self[node]))

    def covers(self, room: Room, needs: Needs) -> bool:
        """Whether any of what these needs lack there is kept for somebody already."""
        claims = self.get(room.node.name)
        if not claims:
            return False
        short = _short(room, needs)
        return any(not claim.lacked.isdisjoint(short) for claim in claims)


def hold_back(draft: Draft, task: Task, claims: Claims) -> None:
    """The head of the order finds no room: keep what it lacks, unless somebody before it waits for the same."""
    if claims.count >= CLAIMS or claims.tries >= TRIES:
        return
    claims.tries += 1
    cluster, needs = draft.cluster, task.terms.needs
    rooms = [
        room
        for room in cluster.floor.largest(needs, NODES)
        if room.guard is Guard.NONE and _devices_are_well(room, needs)
    ]
    if not rooms:
        return  # no node could ever run it, or none that is well and trusted now: keeping would help nobody
    blocked = cluster.blocked.get(task.id)
    if blocked is not None and draft.now >= blocked.strict_at:
        claims.count += 1
        for room in rooms:
            _keep(draft, task, room, blocked, claims)
        return
    when, room = _soonest(draft, needs, rooms, claims)
    if claims and claims.covers(room, needs):
        return
    if blocked is None:
        blocked = _first_time(draft, task, when.at)
    blocked.lacked |= _short(room, needs)
    blocked.node, blocked.at = room.node.name, when.at
    claims.count += 1
    _make_room(draft, room, needs, claims)
    graph = task.group if task.group in cluster.plans else ""
    beside = _beside(when, room, needs)
    claims.add(room.node.name, Claim(task, when.at, beside, frozenset(blocked.lacked), when.devices, graph))
    cluster.look_again(max(when.at, draft.now + _LEAST_WAIT, draft.now + (draft.now - blocked.since) / 2))


def _devices_are_well(room: Room, needs: Needs) -> bool:
    """Whether there are enough of its devices once others have ended. One that is lost, or withheld, may never come
    back: it would be waited for beside CPUs that nobody may use."""
    if not needs.has_devices:
        return True
    well = sum(
        state.seen.health is Health.OK and not state.withheld and state.seen.answers_to(needs.device)
        for state in room.devices.ordered
    )
    return well >= max(1, needs.gpus)


def _soonest(draft: Draft, needs: Needs, rooms: list[Room], claims: Claims) -> tuple[Shadow, Room]:
    """The first node that will have room, and when."""
    found = [(shadow(room, needs, draft.now, claims.devices(room.node.name)), room) for room in rooms]
    return found[0] if len(found) == 1 else min(found, key=lambda one: one[0].at)


def _short(room: Room, needs: Needs) -> set[str]:
    """What these needs lack there; all that they name, where each of it alone is there."""
    return set(room.missing(needs)) or {name for name, _ in needs.amounts}


def _first_time(draft: Draft, task: Task, at: float) -> Blocked:
    promise = at if at < inf else draft.now
    grace = GRACE * max(promise - draft.now, draft.cluster.pace.seconds)
    blocked = Blocked(draft.now, promise, draft.now + grace)
    draft.cluster.blocked[task.id] = blocked
    return blocked


def _beside(when: Shadow, room: Room, needs: Needs) -> dict[str, int]:
    """What others may take of each resource. Where nobody knows when there will be room: what is left now."""
    if when.at < inf:
        return when.extra
    return {name: room.free.get(name, 0) - amount for name, amount in needs.amounts}


def _keep(draft: Draft, task: Task, room: Room, blocked: Blocked, claims: Claims) -> None:
    """Keep without a term what the task has found short, on a node that could run it."""
    needs = task.terms.needs
    blocked.lacked.update(room.missing(needs))
    _make_room(draft, room, needs, claims)
    devices = room.devices.to_keep(needs, claims.devices(room.node.name)) if needs.has_devices else NOTHING
    extra = {name: room.free.get(name, 0) - amount for name, amount in needs.amounts if name in blocked.lacked}
    claims.add(room.node.name, Claim(task, -inf, extra, frozenset(blocked.lacked), devices))


def _make_room(draft: Draft, room: Room, needs: Needs, claims: Claims) -> None:
    """Where only warm workers are in the way, they go."""
    if needs.has_devices and room.has_amounts(needs):
        for tenant in room.devices.to_evict(needs, claims.devices(room.node.name)):
            warm.evict(draft, tenant)
