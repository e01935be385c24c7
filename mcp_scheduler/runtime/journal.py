"""One canonical line per committed change, to the log. The core never logs; this is the one place that does."""

from __future__ import annotations

import logging

from mcp_scheduler.core.changes import Changes
from mcp_scheduler.core.states import FINAL

_MANY = 6  # a batch with more changes than this is told in one line

log = logging.getLogger("mcp_scheduler.journal")


def tell(changes: Changes, seconds: float) -> None:
    """Log what a commit of `seconds` changed."""
    if not log.isEnabledFor(logging.INFO):
        return
    total = len(changes.added) + len(changes.statuses)
    if total > _MANY:
        ended = sum(status.is_final for status in changes.statuses.values())
        log.info(
            "commit added=%d started=%d ended=%d final=%d ms=%.1f",
            len(changes.added), len(changes.started), len(changes.ended), ended, seconds * 1000,
        )  # fmt: skip
        return
    for new in changes.added:
        log.info("task %s added state=%s call=%s", new.task.id, new.task.status.state, new.task.terms.target)
    for task_id, status in changes.statuses.items():
        reason = f" reason={status.reason}" if status.reason and status.state in FINAL else ""
        log.info("task %s state=%s attempt=%d%s", task_id, status.state, status.number, reason)
