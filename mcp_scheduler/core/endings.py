"""Attempts end, or come back unbegun; tasks move on, and what waits for them with them."""

from __future__ import annotations

from dataclasses import replace

from mcp_scheduler.core import charging, copies, quarantine, undoing
from mcp_scheduler.core.budget import refusal, with_refusal
from mcp_scheduler.core.draft import Draft
from mcp_scheduler.core.events import Ended, Outcome
from mcp_scheduler.core.graph import release_dependents
from mcp_scheduler.core.growth import larger_claim
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.learning import learn, with_device_peak
from mcp_scheduler.core.retry import Verdict, judge
from mcp_scheduler.core.slots import Slot
from mcp_scheduler.core.states import OVER, Cause, Reason
from mcp_scheduler.core.task import NO_EXTRAS, Task


def ended(draft: Draft, event: Ended) -> None:
    """An attempt is over. A report of another number changes nothing: it is only told that nobody waits for it."""
    attempt = event.attempt
    task = draft.current(attempt)
    if task is None:
        copies.lost(draft, event)
        return
    cluster = draft.cluster
    slot = cluster.slots[cluster.slot_of[attempt]]
    if slot.devices:
        event = with_device_peak(cluster, event, slot)
    if event.outcome.reason is None and task.extras.has_copies:
        copies.won(draft, task, attempt)
    charging.end(cluster, task, attempt, event.outcome.seconds, draft.now)
    draft.leave_slot(attempt, event.at)
    draft.end(event)
    outcome = event.outcome
    if outcome.reason is not None or cluster.breakers.known:
        begun = cluster.attempts.get(attempt)
        quarantine.ended(draft, task, slot, begun.at if begun is not None else draft.now, outcome.reason)
    if cluster.slices.ran or outcome.reason is Reason.YIELDED:
        learn(cluster, task, slot, _whole(draft, task, outcome), draft.now)
    else:
        learn(cluster, task, slot, outcome, draft.now)
    if outcome.reason is None and task.extras is NO_EXTRAS and not cluster.retry_budget.buckets:
        draft.move(task, Cause.SUCCESS)  # a success settles everything, as it is for most
        if task.id in cluster.dependents:
            release_dependents(draft, task)
        return
    if outcome.reason is None or not task.extras.has_copies or not copies.goes_on(draft, task, outcome):
        _go_on(draft, task, slot, attempt, outcome)


def _go_on(draft: Draft, task: Task, slot: Slot | None, attempt: AttemptId, outcome: Outcome) -> None:
    """Whatever else the end of an attempt, or of the last one of several, means for the task: another attempt, a
    rollback, its own end."""
    cluster = draft.cluster
    claim = None
    if outcome.reason is Reason.OUT_OF_MEMORY and slot is not None:
        claim = larger_claim(cluster, task, slot, outcome, draft.status(task).memory_retries)
    verdict = judge(task.terms, draft.status(task), attempt, outcome, can_claim_more=claim is not None)
    told = _spend(draft, task, outcome, verdict)
    if told:
        verdict = replace(verdict, cause=Cause.FAILURE, memory_retries=draft.status(task).memory_retries)
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
        status.error = with_refusal(outcome.error, told) if told else outcome.error
    if verdict.cause is Cause.BACKOFF:
        status.due = draft.now + verdict.delay
        cluster.wake(status.due, task=task)
    elif status.state in OVER:
        release_dependents(draft, task)


def _spend(draft: Draft, task: Task, outcome: Outcome, verdict: Verdict) -> str:
    """Keep the account of the function's retries; why there is none left for another attempt, "" if there is. What was
    lost is no fault of the function, and what was done has to be undone: those are not counted. An attempt that gave
    way goes on later, and adds its share when it ends."""
    if outcome.reason is Reason.YIELDED:
        return ""
    budget, status, terms = draft.cluster.retry_budget, draft.status(task), task.terms
    if budget.buckets:
        tried = status.failures + status.crashes + status.memory_retries
        if not tried and not status.losses:
            budget.add((terms.principal, terms.target), budget.share)
        elif tried and outcome.reason is None:
            budget.add((terms.principal, terms.target), 1.0)
    is_counted = verdict.cause is Cause.BACKOFF and outcome.reason is not Reason.LOST and not task.extras.undoes
    if not is_counted or budget.take((terms.principal, terms.target), draft.now):
        return ""
    return refusal(terms.target, budget)


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
        copies.handed_back(draft, attempt)
        return
    was_late = draft.cluster.hedging.is_copy(attempt)
    charging.end(draft.cluster, task, attempt, 0.0, draft.now)
    draft.leave_slot(attempt)
    draft.give_back(attempt)
    status = draft.status(task)
    if draft.cluster.copies.of(task.id):
        copies.want(draft, task, is_late=was_late)
    elif status.reason is not None:  # others of it have begun and failed: that is how it has ended
        _go_on(draft, task, None, attempt, Outcome(status.reason, status.error))
    elif status.cancel_requested:
        draft.move(task, Cause.CANCEL)
        release_dependents(draft, task)
    else:
        draft.move(task, Cause.RETURN)
