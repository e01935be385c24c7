"""What people and agents ask of tasks that are already here: cancel, hold, resume, retry, another priority."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from mcp_scheduler.core import leases, undoing
from mcp_scheduler.core.changes import Remembered
from mcp_scheduler.core.draft import Draft
from mcp_scheduler.core.events import Action, CancelAsked, UpdateAsked
from mcp_scheduler.core.graph import enter, release_dependents, settle_waiting, waits_for_a_failure
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.recurring import end_series, present
from mcp_scheduler.core.states import FINAL, WAITING, Cause, State
from mcp_scheduler.core.task import Task

RETRIABLE: Final = frozenset({State.FAILED, State.CANCELLED, State.SKIPPED})


def cancel(draft: Draft, event: CancelAsked) -> None:
    """Waiting tasks end at once. A running one is asked to: the wish is a fact, the end comes when its processes are
    gone."""
    for task_id in event.tasks:
        task = draft.task(task_id)
        if task is None:
            continue  # the service has told the caller
        if task_id in event.for_good and (task := present(draft, task)) and draft.extras(task).recurs:
            end_series(draft, task)
        status = draft.status(task)
        if status.state in WAITING:
            draft.move(task, Cause.CANCEL)
            release_dependents(draft, task)
        elif leases.is_held(draft, task):
            leases.cancel(draft, task)
        elif status.state is State.RUNNING and not status.cancel_requested:
            wish = status.copy()
            wish.cancel_requested = True
            draft.put(task, wish)
            for attempt in draft.cluster.copies.of(task.id) or (AttemptId(task.id, status.number),):
                draft.stop(attempt, None)
    if event.origin is not None:
        draft.changes.remembered.append(Remembered(event.origin, "cancel", event.tasks))


def update(draft: Draft, event: UpdateAsked) -> None:
    """Hold, resume, retry, reprioritise; of leases: release, renew. What does not apply to a task in its present state
    leaves it as it is."""
    for task in event.revived:
        if draft.task(task.id) is None:
            draft.cluster.revive(task)
    found = [task for name in event.tasks if (task := draft.task(name)) is not None]
    for task in sorted(found, key=lambda task: task.seq):  # dependencies arrive before those that name them
        _update(draft, task, event)
    if event.origin is not None:
        draft.changes.remembered.append(Remembered(event.origin, "update", event.tasks))


def _update(draft: Draft, task: Task, event: UpdateAsked) -> None:
    status = draft.status(task)
    match event.action:
        case Action.HOLD | Action.RESUME if status.state is State.RUNNING and draft.extras(task).recurs:
            # This one runs on; the word is for the next one of its series.
            draft.set_extras(task, replace(draft.extras(task), paused=event.action is Action.HOLD))
        case Action.HOLD if status.state in WAITING and not status.held and not waits_for_a_failure(draft, task):
            held = status.copy()
            held.held = True
            draft.put(task, held)
            settle_waiting(draft, task)
        case Action.RESUME if status.state is State.HELD:
            free = status.copy()
            free.held = False
            draft.put(task, free)
            settle_waiting(draft, task)
        case Action.RETRY if status.state in RETRIABLE and undoing.may_run_again(draft, task):
            _retry(draft, task, event.outside)
        case Action.RELEASE if leases.is_held(draft, task):
            leases.release(draft, task)
        case Action.RENEW if leases.is_held(draft, task):
            leases.renew(draft, task, event.value)
        case Action.SET_PRIORITY if status.state not in FINAL and event.value is not None:
            _reprioritise(draft, task, int(event.value))
        case Action.SET_DEADLINE if status.state not in FINAL:
            draft.changes.deadlines[task.id] = event.value
        case _:
            pass  # it does not apply to this state: the service compares before and after, and tells the caller


def _retry(draft: Draft, task: Task, outside: Mapping[str, State]) -> None:
    """Another run of an ended task: it comes in anew, behind its dependencies and its time. Counters start anew, the
    attempt number goes on (it is the fence)."""
    fresh = draft.status(task).copy()
    fresh.failures = fresh.losses = fresh.crashes = 0
    fresh.reason, fresh.error, fresh.due = None, "", 0.0
    fresh.cancel_requested = fresh.held = False
    if task.deadline is not None:  # it belonged to the run before
        draft.changes.deadlines[task.id] = None
    draft.put(task, fresh)
    draft.move(task, Cause.RETRY)
    undoing.run_again(draft, task)
    enter(draft, task, outside)


def _reprioritise(draft: Draft, task: Task, priority: int) -> None:
    status = draft.status(task)
    if priority == status.priority:
        return
    changed = status.copy()
    changed.priority = priority
    if status.state is State.QUEUED and task not in draft.cluster.conflicts.blocked:
        draft.cluster.ready.remove(task)
        draft.cluster.ready.push(task, priority, status.at)
    draft.put(task, changed)
