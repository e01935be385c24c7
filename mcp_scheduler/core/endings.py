"""Attempts end, or come back unbegun; tasks move on, and what waits for them with them."""

from __future__ import annotations

from mcp_scheduler.core.draft import Draft
from mcp_scheduler.core.events import Ended
from mcp_scheduler.core.graph import release_dependents
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.retry import judge
from mcp_scheduler.core.states import FINAL, Cause


def ended(draft: Draft, event: Ended) -> None:
    """An attempt is over. A report of another number changes nothing: it is only told that nobody waits for it."""
    attempt = event.attempt
    task = draft.current(attempt)
    if task is None:
        draft.settle(attempt)
        return
    outcome = event.outcome
    draft.cluster.ends(task, attempt, outcome.seconds, draft.now)
    draft.leave_slot(attempt)
    draft.end(event)
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
    draft.cluster.ends(task, attempt, 0.0, draft.now)
    draft.leave_slot(attempt)
    draft.give_back(attempt)
    if draft.status(task).cancel_requested:
        draft.move(task, Cause.CANCEL)
        release_dependents(draft, task)
    else:
        draft.move(task, Cause.RETURN)
