"""Placement: in rank order, each head gets a reservation, or a place behind short calls of its kind, or waits.

The first that has to wait has a claim on a place and a time (see `claims`); others go before it as far as that does
not delay it. The policy proposes the order; `Room.take` verifies: a bad policy can waste capacity, never overbook it.
"""

from __future__ import annotations

from math import inf
from typing import Final

from mcp_scheduler.core import charging, copying, pins, quarantine, slicing
from mcp_scheduler.core.claims import Claims
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.draft import Draft
from mcp_scheduler.core.estimates import Expected, upper_of
from mcp_scheduler.core.rounds import Round, open_in, try_room
from mcp_scheduler.core.scoring import score
from mcp_scheduler.core.slots import NOTHING, PATIENCE, WINDOW_SECONDS, Room, Slot
from mcp_scheduler.core.task import NO_EXTRAS, Task, Terms

ROUND: Final = 1000  # heads that find no room; a round looks at no more
GLANCE: Final = 4  # so many in the rounds between two thorough ones
LOOK: Final = 0.001  # seconds between two thorough rounds, for each head that the last one looked at in vain
CHOICE: Final = 8  # nodes that fit best, and nodes that are emptiest, among which the best is chosen


def place(draft: Draft) -> None:
    """Start what can start now."""
    cluster = draft.cluster
    cluster.next_look = inf
    if cluster.copies.living:
        copying.note_late(draft)
    this = Round(draft)
    if cluster.paused:
        _let_go_on(draft, this)
        return
    ready = cluster.ready
    ready.refresh(draft.now, cluster.pace.seconds)
    most = ROUND if draft.now >= cluster.thorough_at else GLANCE
    _go_through(draft, this, most)
    if most == ROUND:
        cluster.thorough_at = draft.now + this.looks * LOOK
    elif this.looks >= most:
        cluster.look_again(cluster.thorough_at)
    if cluster.copies.living:
        copying.place_rest(draft, this, is_idle=this.looks < most and len(this.parked) < ROUND)
    ready.unpark(this.parked)
    cluster.hungry.clear()
    if cluster.slices.turns:
        slicing.look_again(draft)


def _go_through(draft: Draft, this: Round, most: int) -> None:
    """The round itself: at most so many heads that find no room."""
    cluster = draft.cluster
    ready, floor = cluster.ready, cluster.floor
    while this.looks < most and len(this.parked) < ROUND:
        if this.still and slicing.go_on(draft, this.still, this.over, this.claims, ready.best_rank()):
            continue
        if this.coming:
            this.keep_in_advance(draft, ready.best_rank())
        is_turn_over = bool(this.over.line) and this.over.makes_way_for(ready.best_rank())
        has_room = is_turn_over or (not this.is_shut and floor.has_cpus(ready.least_cpus))
        if not has_room and not cluster.hungry:
            break
        if this.blocked is not None:
            this.keep(draft, this.blocked)
        task = ready.best()
        if task is None:
            break
        if _start(draft, task, this) or (is_turn_over and _is_made_room(draft, task, this)):
            continue
        needs = task.terms.needs
        this.looks += floor.could_ever_fit(needs)
        if not has_room:
            break  # whatever comes next is of a lower rank and finds nothing
        ready.park(this.parked, whole_crowd=bool(this.full) and needs in this.full)


def _let_go_on(draft: Draft, this: Round) -> None:
    """Nothing new starts, but what was begun goes on where there is room."""
    while this.still:
        slicing.go_on(draft, this.still, this.over, this.claims, None)
    slicing.look_again(draft)


def _is_made_room(draft: Draft, task: Task, this: Round) -> bool:
    """Whether others have made way for the task that `best` has just shown, so that it can be tried once more."""
    rank = draft.cluster.ready.best_rank()
    if this.made_room is task or rank is None or not slicing.make_room(draft, task, rank, this.over, this.claims):
        return False
    this.made_room, this.blocked = task, None
    this.full.discard(task.terms.needs)
    return True


def _start(draft: Draft, task: Task, this: Round) -> bool:
    """A place of its own first, best with a warm worker on its devices; a place in a window only where there is none,
    so that no free place stays empty."""
    cluster = draft.cluster
    terms = task.terms
    if this.finds_nothing(terms.needs):
        if cluster.hungry and _fill_up(draft, task, this):
            return True
        this.blocked = task
        return False
    expected = cluster.expected(task)
    upper = upper_of(expected, terms)
    if task.extras.pin:
        slot = pins.place(draft, task, draft.now + upper, this.claims)
        if slot is not None:
            _begin(draft, task, slot, this, expected, upper)
            return True
        if pins.awaits(draft, task, this.claims):
            return False  # it could start elsewhere: nothing is kept for it
    if not (this.too_long and this.is_too_long(task, upper)):
        slot = _own_place(draft, task, draft.now + upper, this)
        if slot is not None:
            _begin(draft, task, slot, this, expected, upper)
            return True
    if cluster.hungry and _queue_up(draft, task, this):
        return True
    if not this.claims or terms.needs in this.full:
        this.blocked = task
    return False


def _begin(draft: Draft, task: Task, slot: Slot, this: Round, expected: Expected | None, upper: float) -> None:
    """The task that `best` has just shown starts in a place of its own."""
    cluster, terms = draft.cluster, task.terms
    cluster.ready.take()
    guess = cluster.estimates.seconds(terms.target)
    draft.start(task, slot, guess if guess is not None else WINDOW_SECONDS, upper)
    if cluster.breakers.known:
        quarantine.began(draft, slot)
    seconds = expected.median if expected is not None else cluster.pace.seconds
    charging.begin(cluster, task, slot, seconds, draft.now)
    if this.claims:
        this.claims.started(slot.node, terms.needs, draft.now + upper)
    if task.extras.replicas > 1:
        copying.fill(draft, task, this)


def _fill_up(draft: Draft, task: Task, this: Round) -> bool:
    """Where windows alone have room, equal calls that follow each other in rank go there one after the other: nothing
    that a round looks at between two heads changes by that. Whether the first of them went."""
    cluster = draft.cluster
    has_started = False
    following: Task | None = task
    while following is not None and following.terms is task.terms and cluster.hungry:
        if not _queue_up(draft, following, this):
            break
        has_started = True
        if this.over.line or this.still or this.coming or following.extras is not NO_EXTRAS:
            break
        following = cluster.ready.best()
    return has_started


def _queue_up(draft: Draft, task: Task, this: Round) -> bool:
    """Behind short calls of its kind."""
    cluster = draft.cluster
    guess = cluster.estimates.seconds(task.terms.target)
    if guess is None:
        return False
    slot = _shortest(cluster, task.terms, guess, this.claims, draft.now)
    if slot is None:
        return False
    cluster.ready.take()
    draft.start(task, slot, guess, guess)
    if not slot.watched:
        slot.watched = True
        cluster.wake(draft.now + PATIENCE, slot=slot.id)
    if task.extras.replicas > 1:
        copying.fill(draft, task, this)
    return True


def _own_place(draft: Draft, task: Task, until: float, this: Round) -> Slot | None:
    if this.only is None:
        return _best_place(draft, task, until, this)
    slot, is_full = open_in(draft, task, this.only, until, this.claims)
    if slot is None:
        _remember(task, until - draft.now, this, is_full=is_full)
    return slot


def _remember(task: Task, upper: float, this: Round, *, is_full: bool) -> None:
    """The needs find no room at all, or none for so long: nobody after this one does."""
    needs = task.terms.needs
    if is_full:
        this.full.add(needs)
    else:
        key = (needs, task.group)
        this.too_long[key] = min(upper, this.too_long.get(key, inf))


def _best_place(draft: Draft, task: Task, until: float, this: Round) -> Slot | None:
    """Of many nodes: a few that have room are compared, and the best is taken."""
    cluster, needs = draft.cluster, task.terms.needs
    is_full = True
    found: dict[str, Room] = {}
    ways = [cluster.floor.candidates(needs)]
    if not needs.has_devices:
        ways.append(cluster.floor.emptiest(needs))
    for way in ways:
        wanted = len(found) + CHOICE
        for room in way:
            if not room.has_amounts(needs):
                continue
            avoid = this.claims.admits(room.node.name, task, until) if this.claims else NOTHING
            if avoid is None or (needs.has_devices and room.devices.choose(needs, avoid) is None):
                is_full = is_full and avoid is not None
                continue
            found[room.node.name] = room
            if len(found) >= wanted:
                break
    if not found:
        _remember(task, until - draft.now, this, is_full=is_full)
        return None
    rooms = list(found.values())
    best = rooms[0] if len(rooms) == 1 else min(rooms, key=lambda room: score(cluster, room, task).seconds)
    slot, _ = try_room(draft, task, best, until, this.claims)
    return slot


def _shortest(cluster: Cluster, terms: Terms, expected: float, claims: Claims, now: float) -> Slot | None:
    """The slot with the least work before it, of those that may take a call of these terms. None of those is filled
    up again that hold what a better-ranked task waits for."""
    found: Slot | None = None
    for slot in cluster.hungry.values():
        if (
            (found is None or slot.expected < found.expected)
            and slot.takes(terms, expected, now)
            and (not slot.devices or cluster.rooms[slot.node].devices.are_offered(slot.devices))
            and (not cluster.breakers.known or quarantine.admits_refill(cluster, slot))
            and (not claims or claims.admits_refill(slot, max(now, slot.bound) + expected))
        ):
            found = slot
    return found
