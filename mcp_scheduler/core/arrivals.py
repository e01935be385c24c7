"""Tasks arrive: all of a submission or nothing of it."""

from __future__ import annotations

from mcp_scheduler.core.changes import Remembered
from mcp_scheduler.core.draft import Draft
from mcp_scheduler.core.events import Submitted
from mcp_scheduler.core.states import FINAL, Cause, State, advance
from mcp_scheduler.core.task import Task

BROKEN_DEPENDENCY = "Its dependency {} did not succeed ({})."


def submitted(draft: Draft, event: Submitted) -> tuple[str, str] | None:
    """Take the tasks in; None, or a refusal (code, text) that leaves everything as it was."""
    clash = _clash(draft, event)
    if clash is not None:
        return "duplicate_key", clash
    cluster = draft.cluster
    for new in event.tasks:
        task = new.task
        task.terms = cluster.intern(task.terms)
        task.status.state = State.HELD if task.status.held else State.PENDING
        task.status.at = draft.now
        draft.fresh[task.id] = task
        if task.key:
            cluster.keys[task.terms.principal, task.key] = task.id
    for new in event.tasks:
        _enter(draft, new.task, event)
    changes = draft.changes
    changes.added += event.tasks
    if event.group is not None:
        changes.groups.append(event.group)
    if event.origin is not None:
        changes.remembered.append(Remembered(event.origin, "submit", tuple(new.task.id for new in event.tasks)))
    return None


def _clash(draft: Draft, event: Submitted) -> str | None:
    """The service has looked keys up before; here they are looked at again, against what arrived meanwhile."""
    own: set[str] = set()
    for new in event.tasks:
        task = new.task
        if not task.key:
            continue
        known = draft.cluster.keys.get((task.terms.principal, task.key))
        if known is not None:
            return f"The idempotency key '{task.key}' belongs to {known}."
        if task.key in own:
            return f"The idempotency key '{task.key}' stands twice in one submission."
        own.add(task.key)
    return None


def _enter(draft: Draft, task: Task, event: Submitted) -> None:
    """Give the task its first state: what does it wait for?"""
    cluster = draft.cluster
    for name in task.after:
        other = draft.task(name)
        state = draft.status(other).state if other is not None else event.outside.get(name, State.SKIPPED)
        if state in FINAL and state is not State.SUCCEEDED:
            draft.move(task, Cause.SKIP).error = BROKEN_DEPENDENCY.format(name, state)
            return
    open_ones = [name for name in task.after if _is_open(draft, name)]
    for name in open_ones:
        cluster.dependents.setdefault(name, []).append(task)
    if open_ones:
        cluster.missing[task.id] = len(open_ones)
    settle_waiting(draft, task)


def _is_open(draft: Draft, name: str) -> bool:
    other = draft.task(name)
    return other is not None and draft.status(other).state not in FINAL


def settle_waiting(draft: Draft, task: Task) -> None:
    """A waiting task takes the state that says what it lacks: a person's word, its dependencies, its time, nothing."""
    cluster = draft.cluster
    status = draft.status(task)
    due = max(task.start_after, status.due)
    if status.held:
        cause = Cause.HOLD
    elif cluster.missing.get(task.id):
        cause = Cause.WAIT_DEPENDENCIES
    elif due > draft.now:
        cause = Cause.WAIT_TIME
    else:
        cause = Cause.READY
    if advance(status.state, cause) is status.state:
        return
    moved = draft.move(task, cause)
    if cause is Cause.WAIT_TIME:
        moved.due = due
        cluster.wake(due, task=task)
