"""Turns by time: after its quantum a call makes way, if somebody of equal or higher rank waits and then has room.

Whoever stands still waits as others do, from that moment on, and by the same rank: so equals take turns, the one that
has waited longest first. A command stands still at once, and its CPUs are free; of a function the worker is asked, and
when the function gives way its attempt ends and its task is queued again.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from mcp_scheduler.core.changes import Continue, Pause
from mcp_scheduler.core.claims import NODES, Claim, Claims
from mcp_scheduler.core.slices import CPUS, can_stand_still, cpus_of
from mcp_scheduler.core.slots import DEVICES
from mcp_scheduler.core.task import Kind
from mcp_scheduler.core.yielding import Over, rank_of

if TYPE_CHECKING:
    from mcp_scheduler.core.draft import Draft
    from mcp_scheduler.core.ids import AttemptId
    from mcp_scheduler.core.slots import Room, Slot
    from mcp_scheduler.core.task import Needs, Task

STILL: Final = 64  # that stand still at most: each keeps its memory, and each is looked at in every round

Line = list[tuple[float, str]]  # (rank, slot), the first to go on at the end


def line(draft: Draft) -> Line:
    """Those that stand still, for one round."""
    still = draft.cluster.slices.still
    found = [
        (rank, slot_id)
        for slot_id, since in still.items()
        if (rank := rank_of(draft, draft.cluster.slots[slot_id], since)) is not None
    ]
    return sorted(found, reverse=True)


def go_on(draft: Draft, waiting: Line, over: Over, claims: Claims, head: float | None) -> bool:
    """Let the first of those that stand still go on, if it goes before the head of the queue (its rank; None: nobody
    is queued). Where it finds no room, its CPUs are kept. False: the queue is next."""
    if not waiting or (head is not None and head < waiting[-1][0]):
        return False
    rank, slot_id = waiting.pop()
    slot = draft.cluster.slots[slot_id]
    room = draft.cluster.rooms[slot.node]
    short = cpus_of(slot) - room.free.get(CPUS, 0)
    if not _admits(claims, room, cpus_of(slot)):
        return True
    if short > 0:
        victims = _enough(draft, over, room, short, rank)
        for victim in victims:
            over.leave(victim)
            _stand_still(draft, room, victim)
        if not victims:
            claims.add(room.node.name, _claim(draft, slot, room))
            return True
    _go_on(draft, slot)
    return True


def make_room(draft: Draft, task: Task, rank: float, over: Over, claims: Claims) -> bool:
    """A queued task finds no room: let commands stand still for it, so that it has some now; or ask functions, so that
    it will have. Whether it has some now."""
    cluster, needs = draft.cluster, task.terms.needs
    for room in cluster.floor.largest(needs, NODES):
        missing = room.missing(needs)
        if claims and claims.admits(room.node.name, task, inf) is None:
            over.in_vain(draft, room, missing)
            continue
        if missing == [CPUS] and len(cluster.slices.still) < STILL:
            short = dict(needs.amounts)[CPUS] - room.free.get(CPUS, 0)
            if victims := _enough(draft, over, room, short, rank):
                for victim in victims:
                    over.leave(victim)
                    _stand_still(draft, room, victim)
                return True
        if missing:
            _ask(draft, over, room, needs, missing, rank)
            over.in_vain(draft, room, missing)
    return False


def look_again(draft: Draft) -> None:
    """While anybody waits: have a round when the next turn is over; where one is over and nobody could use it, a
    quantum from now."""
    cluster = draft.cluster
    slices = cluster.slices
    if slices.turns and (len(cluster.ready) or slices.still):
        due = next(iter(slices.turns.values())) + slices.quantum
        cluster.look_again(due if due > draft.now else draft.now + slices.quantum)


def is_over_time(draft: Draft, task: Task, attempt: AttemptId) -> bool:
    """Whether a timeout that fires now is one: not while the call stands still, nor when it has stood still since."""
    cluster = draft.cluster
    if cluster.slots[cluster.slot_of[attempt]].still_since is not None:
        return False
    began = cluster.began.get(attempt)
    return began is None or task.terms.timeout is None or began + task.terms.timeout <= draft.now


def thin_out(draft: Draft) -> None:
    """The engine is new, and where commands stood still for others when the last one went, all of them run: the last in
    rank stand still again, until no more CPUs are taken than there are. They go on by turns; where there are none, all
    run on."""
    cluster = draft.cluster
    crowded, cluster.slices.crowded = cluster.slices.crowded, []
    for room in (cluster.rooms[name] for name in crowded if cluster.slices.quantum):
        ranked = [(rank, slot) for slot in room.slots.values() if (rank := _rank_now(draft, slot)) is not None]
        for _, slot in sorted(ranked, key=lambda one: (-one[0], one[1].since, one[1].id)):
            if room.free.get(CPUS, 0) >= 0 or len(cluster.slices.still) >= STILL:
                break
            _stand_still(draft, room, slot)


# --- who makes way


def _rank_now(draft: Draft, slot: Slot) -> float | None:
    """The rank of the slot's call if it waited from now on; None where it cannot stand still."""
    can = slot.still_since is None and can_stand_still(slot) and len(slot.attempts) == 1
    return rank_of(draft, slot, draft.now) if can else None


def _enough(draft: Draft, over: Over, room: Room, short: int, rank: float) -> list[Slot]:
    """The commands that leave so many CPUs if they stand still; none if all of them together do not."""
    chosen: list[Slot] = []
    for slot in over.before(draft, room, rank):
        if can_stand_still(slot):
            chosen.append(slot)
            short -= cpus_of(slot)
            if short <= 0:
                return chosen
    return []


def _ask(draft: Draft, over: Over, room: Room, needs: Needs, missing: list[str], rank: float) -> None:
    """Ask functions to give way until, with those asked a moment ago, they hold what is missing. One that did not heed
    it within a quantum is not counted on."""
    slices, slots = draft.cluster.slices, draft.cluster.slots
    short = {name: amount - room.free.get(name, 0) for name, amount in needs.amounts if name in missing}
    if DEVICES in missing:
        short[DEVICES] = max(1, needs.gpus)
    for slot_id, when in slices.asked.items():
        if when + slices.quantum > draft.now and slots[slot_id].node == room.node.name:
            _count(short, slots[slot_id])
    for slot in over.before(draft, room, rank):
        if not any(left > 0 for left in short.values()):
            return
        if slot.terms.kind is Kind.FUNCTION and _count(short, slot):
            del slices.turns[slot.id]
            over.leave(slot)
            slices.asked[slot.id] = draft.now
            draft.pauses.append(Pause(next(iter(slot.attempts))))


def _count(short: dict[str, int], slot: Slot) -> bool:
    """Take off what the slot will leave; whether that helps."""
    held = dict(slot.terms.needs.amounts) | {DEVICES: len(slot.devices)}
    helps = False
    for name, left in short.items():
        if left > 0 and held.get(name, 0) > 0:
            short[name] = left - held[name]
            helps = True
    return helps


# --- what is done


def _stand_still(draft: Draft, room: Room, slot: Slot) -> None:
    slices = draft.cluster.slices
    attempt = next(iter(slot.attempts))
    slot.still_since = slices.still[slot.id] = draft.now
    slices.turns.pop(slot.id, None)
    draft.cluster.hungry.pop(slot.id, None)
    room.lend(CPUS, cpus_of(slot))
    draft.changes.stilled[attempt] = draft.now
    draft.pauses.append(Pause(attempt))


def _go_on(draft: Draft, slot: Slot) -> None:
    attempt = next(iter(slot.attempts))
    seconds = max(0.0, draft.now - (slot.still_since or draft.now))
    draft.cluster.slices.take_back_cpus(draft.cluster, slot)
    slot.shift(seconds)
    draft.cluster.slices.begin(slot, draft.now)
    draft.changes.continued[attempt] = seconds
    draft.continues.append(Continue(attempt))


def _admits(claims: Claims, room: Room, cpus: int) -> bool:
    """Whether those before it leave so many CPUs."""
    return all(cpus <= claim.extra.get(CPUS, cpus) for claim in claims.on(room.node.name))


def _claim(draft: Draft, slot: Slot, room: Room) -> Claim:
    """Its CPUs are kept from the time on at which it will have them, by the turns of those that can make way and the
    upper bounds of the others."""
    slices, now = draft.cluster.slices, draft.now
    ends: list[tuple[float, int]] = []
    for other in room.slots.values():
        if other.still_since is None:
            end = other.ends_by(now)
            turn = slices.turns.get(other.id)
            if turn is not None and can_stand_still(other):
                end = min(end, max(now, turn + slices.quantum))
            ends.append((end, cpus_of(other)))
    free, at = room.free.get(CPUS, 0), now
    for end, cpus in sorted(ends):
        if free >= cpus_of(slot) and end > at:
            break
        free, at = free + cpus, end
    task = draft.cluster.tasks[next(iter(slot.attempts)).task]
    return Claim(task, at, {CPUS: free - cpus_of(slot)}, frozenset({CPUS}))
