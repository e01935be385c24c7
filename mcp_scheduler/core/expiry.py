"""What waits until its deadline has passed ends there."""

from __future__ import annotations

from mcp_scheduler.core import undoing
from mcp_scheduler.core.draft import Draft
from mcp_scheduler.core.graph import release_dependents
from mcp_scheduler.core.states import WAITING, Reason


def expire(draft: Draft) -> None:
    """End what has waited until its deadline. What runs goes on: it may still be of use."""
    for task in draft.cluster.deadlines.passed(draft.now):
        if not draft.cluster.expires or draft.status(task).state not in WAITING:
            continue
        status = draft.move(task, undoing.final_cause(draft, task))
        status.reason, status.error = Reason.EXPIRED, "Its deadline passed before it could start."
        release_dependents(draft, task)
