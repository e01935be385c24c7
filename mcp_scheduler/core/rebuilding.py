"""Deriving queues, slots and timers from the facts: on boot, and after a commit that failed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mcp_scheduler.core import copies, warm
from mcp_scheduler.core.node import Attempt
from mcp_scheduler.core.slots import PATIENCE, Slot
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import NO_EXTRAS, Kind, Task

if TYPE_CHECKING:
    from mcp_scheduler.core.cluster import Cluster


def rebuild(cluster: Cluster) -> None:
    """Derive everything anew. Warm workers are no fact of the store, but they are there: they stay known."""
    known = (*cluster.resting.values(), *cluster.slots.values())
    kept_warm = [slot for slot in known if slot.devices and slot.launched]
    cluster.forget_derived()
    for task in cluster.tasks.values():
        task.queue = None
        if _is_plainly_queued(task):
            continue
        if not task.status.is_final:
            cluster.watch_times(task)
        _await(cluster, task)
    if cluster.policy.by_graph:
        plan_again(cluster)
    _queue_again(cluster)
    for attempt in sorted(cluster.attempts.values(), key=lambda attempt: attempt.at):
        _reserve_again(cluster, attempt)
    cluster.slices.rebuild(cluster)
    cluster.coming.rebuild(cluster)
    for slot in kept_warm:
        if slot.id not in cluster.slots:
            warm.rest_again(cluster, slot)


def _await(cluster: Cluster, task: Task) -> None:
    """Know what the task waits for, and who waits for it."""
    match task.status.state:
        case State.RUNNING:
            _runs_already(cluster, task)
        case State.SCHEDULED | State.RETRYING:
            cluster.wake(task.status.due, task=task)
        case State.PENDING | State.HELD if not task.extras.undoes:
            others = dict.fromkeys((*task.after, *task.extras.behind))
            cluster.wait_for(task, [name for name in others if cluster.is_open(name)])
        case _:
            pass


def _queue_again(cluster: Cluster) -> None:
    """Everything that could run, in the order in which it was queued. Of a million tasks most are alike: those are
    gathered, and find their queue together."""
    queued = [task for task in cluster.tasks.values() if task.status.state is State.QUEUED]
    queued.sort(key=lambda task: task.status.at)
    alike: dict[tuple[int, int, int], list[Task]] = {}
    for task in queued:
        if _is_plainly_queued(task) and not task.group:
            alike.setdefault((id(task.terms), task.status.priority, task.size), []).append(task)
        else:
            cluster.stand(task, task.status)
    for row in alike.values():
        cluster.ready.push_alike(row)


def _is_plainly_queued(task: Task) -> bool:
    """Nothing has to be known of it but its place in a queue."""
    return task.status.state is State.QUEUED and task.extras is NO_EXTRAS and task.deadline is None


def plan_again(cluster: Cluster) -> None:
    """Know of every graph under way how urgent its tasks are."""
    groups: dict[str, list[Task]] = {}
    for task in cluster.tasks.values():
        if task.group and not task.status.is_final:
            groups.setdefault(task.group, []).append(task)
    for members in groups.values():
        cluster.plan(sorted(members, key=lambda task: task.seq))


def _runs_already(cluster: Cluster, task: Task) -> None:
    """It stands before everybody who waits for its things; a lease lapses at its time."""
    if task.extras is not NO_EXTRAS:
        cluster.conflicts.join(task, task.status.at)
    if task.terms.kind is Kind.LEASE:
        cluster.wake(task.status.due, task=task)


def _reserve_again(cluster: Cluster, attempt: Attempt) -> None:
    task = cluster.tasks[attempt.id.task]
    terms = task.terms
    slot = cluster.slots.get(attempt.slot)
    if slot is None:
        slot = cluster.slots[attempt.slot] = Slot(attempt.slot, attempt.node, terms, attempt.devices, launched=True)
        slot.share = cluster.floor.share(terms.needs)
        cluster.rooms[attempt.node].slots[slot.id] = slot
        cluster.rooms[attempt.node].seize(terms.needs)
        cluster.rooms[attempt.node].devices.seize(slot.id, terms.needs, attempt.devices)
    elif not slot.watched:
        slot.watched = True
        cluster.wake(slot.since + PATIENCE, slot=slot.id)
    expected = cluster.expected(task)
    upper = expected.upper if expected is not None else math.inf
    slot.add(attempt.id, cluster.estimates.seconds(terms.target) or 0.0, attempt.at, upper)
    cluster.slot_of[attempt.id] = slot.id
    if task.extras.has_copies:
        copies.began_again(cluster, task, attempt.id)
    began = cluster.began.get(attempt.id)
    if began is not None and terms.timeout is not None:
        cluster.wake(began + terms.timeout, attempt=attempt.id)
