"""Reservations in advance: a heavy task whose dependencies are about to end has its place kept before it is queued.

Without that, what is longer and goes after it would fill its place in the last moment (backfilling), and the whole
graph would wait for that. As with every claim (EASY), others may use the place if they end in time. It is bounded:
nothing is kept for longer than the task itself is expected to run, nor beyond twice the first promise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mcp_scheduler.core.claims import Claim, Claims
from mcp_scheduler.core.coming import FEW, Advance
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.policy import TaskClass
from mcp_scheduler.core.slots import Room, Slot
from mcp_scheduler.core.states import OVER, State

if TYPE_CHECKING:
    from mcp_scheduler.core.draft import Draft
    from mcp_scheduler.core.task import Needs, Task

LONGEST: Final = 600.0  # seconds in advance

Line = list[tuple[float, "Task", float]]  # (rank, task, when it can probably run), the first to go at the end


def line(draft: Draft) -> Line:
    """Those for which something is to be kept in this round, if what it lacks goes to others of a lower rank."""
    found: Line = []
    for task, advance in draft.cluster.coming.tasks.items():
        at = _starts_at(draft, task, advance)
        if at is not None:
            found.append((_rank(draft, task), task, at))
    return sorted(found, key=lambda one: (one[0], one[1].seq), reverse=True)


def keep(draft: Draft, task: Task, at: float, claims: Claims) -> None:
    """Everybody who goes before it has been placed: from now on its place is its own."""
    cluster, needs = draft.cluster, task.terms.needs
    advance = cluster.coming.tasks[task]
    slots = _dependencies(draft, task) or []
    for room in cluster.floor.largest(needs, FEW):
        beside = _beside(room, needs, slots, at, draft.now)
        if any(left < 0 for left in beside.values()):
            continue  # it would have to wait there anyway
        if not advance.until:
            advance.until = draft.now + 2.0 * (at - draft.now)
        advance.node, advance.at = room.node.name, at
        graph = task.group if task.group in cluster.plans else ""
        claims.add(room.node.name, Claim(task, at, beside, frozenset(beside), graph=graph))
        cluster.look_again(min(at, advance.until) if min(at, advance.until) > draft.now else draft.now + 1.0)
        return
    advance.node = ""


def _starts_at(draft: Draft, task: Task, advance: Advance) -> float | None:
    """When its dependencies have probably ended, if that is near; None where it is not, or nobody knows."""
    cluster, now = draft.cluster, draft.now
    own = cluster.expected(task)
    slots = _dependencies(draft, task)
    advance.node = ""
    if own is None or not slots or draft.status(task).held or (advance.until and now >= advance.until):
        return None
    ends: list[float] = []
    for slot in slots:
        name = next(iter(slot.attempts)).task
        running = draft.task(name)
        expected = cluster.expected(running) if running is not None else None
        if expected is None:
            return None
        end = slot.since + expected.median
        ends.append(end if end > now else slot.ends_by(now))
    at = max(ends)
    return at if at - now <= min(own.median, LONGEST) and task.start_after <= at else None


def _dependencies(draft: Draft, task: Task) -> list[Slot] | None:
    """Where those run that it waits for; None if one of them does not run yet."""
    cluster = draft.cluster
    slots: list[Slot] = []
    for name in dict.fromkeys((*task.after, *draft.extras(task).behind)):
        other = draft.task(name)
        if other is None or draft.status(other).state in OVER:
            continue
        status = draft.status(other)
        slot = cluster.slots.get(cluster.slot_of.get(AttemptId(name, status.number), ""))
        if status.state is not State.RUNNING or slot is None or slot.still_since is not None:
            return None
        slots.append(slot)
    return slots


def _rank(draft: Draft, task: Task) -> float:
    """As if it were queued now."""
    cluster = draft.cluster
    plan = cluster.plans.get(task.group)
    level = plan.levels.get(task.id, 0.0) if plan is not None else 0.0
    share = cluster.floor.share(task.terms.needs)
    priority = draft.status(task).priority
    kind = TaskClass(task.terms, priority, cluster.expected(task), share, plan, level, task.extras.every)
    return cluster.policy.rank(kind, draft.now, task.deadline, cluster.ready.scene)


def _beside(room: Room, needs: Needs, dependencies: list[Slot], at: float, now: float) -> dict[str, int]:
    """What is left of each resource beside the task at that time, if nothing else is started."""
    free = {name: room.free.get(name, 0) - amount for name, amount in needs.amounts}
    for slot in room.slots.values():
        if slot in dependencies or slot.ends_by(now) <= at:
            for name, amount in slot.amounts:
                if name in free:
                    free[name] += amount
    return free
