"""Leases: calls that run nothing. Whoever holds one says when it is over; who says nothing for too long loses it.

A lease lives in the core alone: there is no process to start, to stop or to take over. It holds what it needs from its
grant on, until it is released, cancelled, or has lapsed: then `due` of its status has passed, which each renewal sets
anew. All of that is on the disk, so the next engine goes on where the last one stopped.

The fence is the time of the grant in microseconds, moved on where two grants would share one. It is not stored: it is
the time at which the attempt was started. It grows with every grant in one home, even where the wall clock was set
back between two engines, because the first grant of an engine lies after everything that its store knows.
"""

from __future__ import annotations

from typing import Final

from mcp_scheduler.core.cluster import MICRO
from mcp_scheduler.core.draft import Draft
from mcp_scheduler.core.endings import ended
from mcp_scheduler.core.events import Ended, Outcome
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Attempt
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.core.task import Kind, Task

LAPSED: Final = "The lease was not renewed in time; what it held is free for others."


def fence(attempt: Attempt) -> int:
    """The number of this grant: larger than that of every earlier one in this home."""
    return round(attempt.at * MICRO)


def is_held(draft: Draft, task: Task) -> bool:
    """Whether the task is a lease that has been granted and has not ended."""
    return task.terms.kind is Kind.LEASE and draft.status(task).state is State.RUNNING


def release(draft: Draft, task: Task) -> None:
    """The holder is done."""
    _end(draft, task, Outcome())


def cancel(draft: Draft, task: Task) -> None:
    """Somebody takes the lease away. Nothing has to be stopped for that."""
    wish = draft.status(task).copy()
    wish.cancel_requested = True
    draft.put(task, wish)
    _end(draft, task, Outcome(Reason.CANCELLED, "The lease was cancelled; what it held is free for others."))


def renew(draft: Draft, task: Task, seconds: float | None) -> None:
    """The holder lives: it keeps the lease for so long from now, by default for the time it has asked for at first."""
    longer = draft.status(task).copy()
    longer.due = draft.now + (seconds if seconds is not None else task.terms.timeout or 0.0)
    draft.put(task, longer)
    draft.cluster.wake(longer.due, task=task)


def lapse(draft: Draft, task: Task) -> None:
    """A timer has fired: if nobody has renewed the lease since it was set, it is over."""
    if draft.status(task).due <= draft.now:
        _end(draft, task, Outcome(Reason.TIMEOUT, LAPSED))


def _end(draft: Draft, task: Task, outcome: Outcome) -> None:
    status = draft.status(task)
    outcome.seconds = max(0.0, draft.now - status.at)
    ended(draft, Ended(AttemptId(task.id, status.number), draft.now, outcome))
