"""Tasks arrive: all of a submission or nothing of it."""

from __future__ import annotations

from mcp_scheduler.core.changes import Remembered
from mcp_scheduler.core.draft import Draft
from mcp_scheduler.core.events import NewTask, Submitted
from mcp_scheduler.core.graph import enter
from mcp_scheduler.core.rollback import expect
from mcp_scheduler.core.states import State


def submitted(draft: Draft, event: Submitted) -> tuple[str, str] | None:
    """Take the tasks in; None, or a refusal (code, text) that leaves everything as it was."""
    clash = _clash(draft, event)
    if clash is not None:
        return "duplicate_key", clash
    cluster = draft.cluster
    for new in event.tasks:
        task = new.task
        task.terms = cluster.intern(task.terms)
        task.status.state = _first_state(new)
        task.status.at = draft.now
        draft.fresh[task.id] = task
        cluster.watch_times(task)
        if task.key:
            draft.keys[task.terms.principal, task.key] = task.id
    if event.group is not None and cluster.policy.by_graph:
        cluster.plan([new.task for new in event.tasks if not new.result_of])
    entering = [new.task for new in event.tasks if not new.result_of]
    expect(cluster.rollbacks, entering)
    for task in entering:
        enter(draft, task, event.outside)
    changes = draft.changes
    changes.added += event.tasks
    if event.group is not None:
        changes.groups.append(event.group)
    if event.origin is not None:
        asked = tuple(new.task.id for new in event.tasks if not new.task.extras.undoes)
        changes.remembered.append(Remembered(event.origin, "submit", asked))
    return None


def _first_state(new: NewTask) -> State:
    if new.result_of:
        return State.SUCCEEDED
    return State.HELD if new.task.status.held else State.PENDING


def _clash(draft: Draft, event: Submitted) -> str | None:
    """The service has looked keys up before; here they are looked at again, against what arrived meanwhile."""
    own: set[tuple[str, str]] = set()
    for new in event.tasks:
        task = new.task
        if not task.key:
            continue
        name = (task.terms.principal, task.key)
        known = draft.keys.get(name) or draft.cluster.keys.get(name)
        if known is not None:
            return f"The idempotency key '{task.key}' belongs to {known}."
        if name in own:
            return f"The idempotency key '{task.key}' stands twice in one submission."
        own.add(name)
    return None
