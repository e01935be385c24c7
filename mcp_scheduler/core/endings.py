"""Attempts end, or come back unbegun; tasks move on, and what waits for them with them."""

from __future__ import annotations

from mcp_scheduler.core.arrivals import BROKEN_DEPENDENCY, settle_waiting
from mcp_scheduler.core.draft import Draft
from mcp_scheduler.core.events import Ended
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.retry import judge
from mcp_scheduler.core.states import FINAL, Cause, State
from mcp_scheduler.core.task import Task


def ended(draft: Draft, event: Ended) -> None:
    """An attempt is over. A report of another number changes nothing: it is only told that nobody waits for it."""
    attempt = event.attempt
    task = draft.current(attempt)
    if task is None:
        draft.settle(attempt)
        return
    draft.leave_slot(attempt)
    draft.end(event)
    outcome = event.outcome
    if outcome.reason is None:
        draft.cluster.estimates.learn(task.terms.target, outcome.seconds)
    verdict = judge(task.terms, draft.status(task), attempt, outcome)
    status = draft.move(task, verdict.cause)
    status.failures, status.losses, status.crashes = verdict.failures, verdict.losses, verdict.crashes
    status.reason = verdict.reason
    if verdict.reason is not None:
        status.error = outcome.error
    if verdict.cause is Cause.BACKOFF:
        status.due = draft.now + verdict.delay
        draft.cluster.wake(status.due, task=task)
    elif status.state in FINAL:
        release_dependents(draft, task)


def returned(draft: Draft, attempt: AttemptId) -> None:
    """The call never began: the task is queued again, nothing is counted, the number is spent."""
    task = draft.current(attempt)
    if task is None:
        draft.settle(attempt)
        return
    draft.leave_slot(attempt)
    draft.give_back(attempt)
    if draft.status(task).cancel_requested:
        draft.move(task, Cause.CANCEL)
        release_dependents(draft, task)
    else:
        draft.move(task, Cause.RETURN)


def release_dependents(draft: Draft, task: Task) -> None:
    """The task has ended: whoever waited only for it can go on, or is skipped, and so on down the graph."""
    cluster = draft.cluster
    ended_tasks = [task]
    while ended_tasks:
        over = ended_tasks.pop()
        waiting = cluster.dependents.pop(over.id, None)
        if not waiting:
            continue
        state = draft.status(over).state
        for other in waiting:
            if draft.status(other).state in FINAL or other.id not in cluster.missing:
                continue
            if state is not State.SUCCEEDED:
                draft.move(other, Cause.SKIP).error = BROKEN_DEPENDENCY.format(over.id, state)
                ended_tasks.append(other)
                continue
            cluster.missing[other.id] -= 1
            if not cluster.missing[other.id]:
                del cluster.missing[other.id]
                settle_waiting(draft, other)
