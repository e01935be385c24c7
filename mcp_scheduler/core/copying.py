"""Where copies run: on other devices than their siblings, on other nodes where there are some, in slots of their own.

Replicas are placed with their task, as far as there is room. What is missing then, and copies of late tasks, are placed
at the end of a round, in what everybody who waits has left: beside all claims, and for late tasks only if the round has
come through its queues. A copy never stands in a window behind other calls, nor behind its sibling.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from mcp_scheduler.core import charging, copies, quarantine
from mcp_scheduler.core.draft import Draft
from mcp_scheduler.core.estimates import upper_of
from mcp_scheduler.core.learning import device_class
from mcp_scheduler.core.rounds import Round, try_room
from mcp_scheduler.core.slots import NOTHING, WINDOW_SECONDS, Slot
from mcp_scheduler.core.task import Task

TRIES: Final = 8  # tasks that want a copy, of which a round looks at no more
NODES: Final = 32  # that are looked at for one copy


def fill(draft: Draft, task: Task, this: Round) -> None:
    """Place as many of the task's missing replicas as there is room for."""
    while copies.lacks(draft, task) and _place(draft, task, this):
        pass
    copies.want(draft, task)


def place_rest(draft: Draft, this: Round, *, is_idle: bool) -> None:
    """The end of a round: who has waited longest for a copy first. `is_idle`: nobody waits for what is still free."""
    cluster = draft.cluster
    for name in list(islice(cluster.copies.wanted, TRIES)):
        del cluster.copies.wanted[name]
        task = draft.task(name)
        if task is None or not copies.lacks(draft, task):
            continue
        if not task.extras.hedge:
            fill(draft, task, this)
        elif not (is_idle and _hedge(draft, task, this)):
            cluster.copies.wanted[name] = None  # behind the others


def note_late(draft: Draft) -> None:
    """Attempts have outlived what nearly all of their kind take: their tasks want a copy."""
    cluster = draft.cluster
    for attempt in cluster.copies.late(draft.now):
        task = draft.current(attempt)
        if task is not None and copies.lacks(draft, task) and cluster.hedging.wants(task.terms.target):
            cluster.copies.wanted[task.id] = None


def _hedge(draft: Draft, task: Task, this: Round) -> bool:
    """Place the copy of a late task, if it can be paid for."""
    cluster = draft.cluster
    expected = cluster.expected(task)
    on_devices = task.terms.needs.has_devices
    price = cluster.floor.share(task.terms.needs) * (expected.median if expected is not None else cluster.pace.seconds)
    if not cluster.hedging.affords(price, on_devices=on_devices):
        return False
    slot = _place(draft, task, this)
    if slot is None:
        return False
    cluster.hedging.begin(next(reversed(slot.attempts)), price, on_devices=on_devices)
    return True


def _place(draft: Draft, task: Task, this: Round) -> Slot | None:
    """A place for one more attempt; None where there is none now."""
    cluster, needs = draft.cluster, task.terms.needs
    if this.finds_nothing(needs):
        return None
    siblings = [cluster.slots[cluster.slot_of[one]] for one in cluster.copies.of(task.id)]
    nodes = {slot.node for slot in siblings}
    taken = NOTHING.union(*(slot.devices for slot in siblings))
    expected = cluster.expected(task, device_class(cluster, siblings[0]))
    upper = upper_of(expected, task.terms)
    rooms = sorted(islice(cluster.floor.candidates(needs), NODES), key=lambda room: room.node.name in nodes)
    for room in rooms:
        slot, _ = try_room(draft, task, room, draft.now + upper, this.claims, taken)
        if slot is not None:
            guess = cluster.estimates.seconds(task.terms.target)
            draft.start_copy(task, slot, guess if guess is not None else WINDOW_SECONDS, upper)
            if cluster.breakers.known:
                quarantine.began(draft, slot)
            charging.begin(cluster, task, slot, expected.median if expected else cluster.pace.seconds, draft.now)
            if this.claims:
                this.claims.started(slot.node, needs, draft.now + upper)
            return slot
    return None
