"""Attempts end, or come back unbegun; tasks move on, and what waits for them with them."""

from __future__ import annotations

from dataclasses import replace

from mcp_scheduler.core import charging, undoing
from mcp_scheduler.core.draft import Draft
from mcp_scheduler.core.events import Ended, Outcome
from mcp_scheduler.core.graph import release_dependents
from mcp_scheduler.core.growth import larger_claim
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.learning import learn, with_device_peak
from mcp_scheduler.core.retry import judge
from mcp_scheduler.core.states import OVER, Cause, Reason
from mcp_scheduler.core.task import Task


def ended(draft: Draft, event: Ended) -> None:
    """An attempt is over. A report of another number changes nothing: it is only told that nobody waits for it."""
    attempt = event.attempt
    task = draft.current(attempt)
    if task is None:
        draft.settle(attempt)
        return
    cluster = draft.cluster
    slot = cluster.slots[cluster.slot_of[attempt]]
    event = with_device_peak(cluster, event, slot)
    charging.end(cluster, task, attempt, event.outcome.seconds, draft.now)
    draft.leave_slot(attempt)
    draft.end(event)
    outcome = event.outcome
    learn(cluster, task, slot, _whole(draft, task, outcome))
    claim = None
    if outcome.reason is Reason.OUT_OF_MEMORY:
        claim = larger_claim(cluster, task, slot, outcome, draft.status(task).memory_retries)
    verdict = judge(task.terms, draft.status(task), attempt, outcome, can_claim_more=claim is not None)
    if claim is not None and verdict.memory_retries > draft.status(task).memory_retries:
        draft.changes.terms[task.id] = cluster.intern(replace(task.terms, needs=claim))
    cause = undoing.final_cause(draft, task) if verdict.cause is Cause.FAILURE else verdict.cause
    if cause is Cause.SUCCESS and task.extras.undo:
        undoing.succeeded(draft, task)
    status = draft.move(task, cause)
    status.failures, status.losses, status.crashes = verdict.failures, verdict.losses, verdict.crashes
    status.memory_retries = verdict.memory_retries
    status.reason = verdict.reason
    if verdict.reason is not None:
        status.error = outcome.error
    if verdict.cause is Cause.BACKOFF:
        status.due = draft.now + verdict.delay
        cluster.wake(status.due, task=task)
    elif status.state in OVER:
        release_dependents(draft, task)


def _whole(draft: Draft, task: Task, outcome: Outcome) -> Outcome:
    """The outcome with the time of all attempts that the call took: those before it that gave way are parts of it."""
    ran = draft.cluster.slices.ran
    if outcome.reason is Reason.YIELDED:
        ran[task.id] = ran.get(task.id, 0.0) + outcome.seconds
    elif task.id in ran:
        return replace(outcome, seconds=outcome.seconds + ran.pop(task.id))
    return outcome


def returned(draft: Draft, attempt: AttemptId) -> None:
    """The call never began: the task is queued again, nothing is counted, the number is spent."""
    task = draft.current(attempt)
    if task is None:
        draft.settle(attempt)
        return
    charging.end(draft.cluster, task, attempt, 0.0, draft.now)
    draft.leave_slot(attempt)
    draft.give_back(attempt)
    if draft.status(task).cancel_requested:
        draft.move(task, Cause.CANCEL)
        release_dependents(draft, task)
    else:
        draft.move(task, Cause.RETURN)
