"""What the retry budget promises, told by ends and states alone: nothing of the buckets that the core keeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from mcp_scheduler.core.budget import RetryBudget
from mcp_scheduler.core.changes import Changes
from mcp_scheduler.core.states import OVER, Reason, State
from mcp_scheduler.core.task import Task

SHARE, PER_MINUTE, BURST = 0.2, 0.5, 1


def small_budget() -> RetryBudget:
    return RetryBudget(SHARE, PER_MINUTE, BURST)


class Budgets:
    """Retries that became durable in the life of one engine, and all that may have allowed them."""

    def __init__(self) -> None:
        self.begin(0.0)

    def begin(self, now: float) -> None:
        """An engine starts, with full buckets."""
        self.since = now
        self.minutes = 0.0
        self.retries: Counter[tuple[str, str]] = Counter()
        self.allowed: Counter[tuple[str, str]] = Counter()

    def look(self, changes: Changes, stored: Mapping[str, Task], now: float) -> None:
        """Just before they become durable: are these too many?"""
        self.minutes += max(0.0, now - self.since) / 60.0
        self.since = now
        copied: set[str] = set()
        for ended in changes.ended:
            if ended.outcome.reason is Reason.YIELDED:
                continue  # it goes on where it was, and that is neither a retry nor an end
            task = stored[ended.attempt.task]
            key = (task.terms.principal, task.terms.target)
            self.allowed[key] += 1.0 if ended.outcome.reason is None else SHARE
            status = changes.statuses.get(task.id) or task.status
            decides = status.reason if task.extras.has_copies else ended.outcome.reason  # of several, the last one
            is_counted = {None, Reason.LOST}.isdisjoint((ended.outcome.reason, decides)) and not task.extras.undoes
            goes_on = status.state is State.RETRYING and task.id not in copied if task.extras.has_copies else True
            if is_counted and status.state not in OVER and goes_on:
                self.retries[key] += 1
                copied.add(task.id)  # of several the last one decides, and the others count for nothing
        for key, count in self.retries.items():
            most = BURST + self.allowed[key] + self.minutes * PER_MINUTE
            assert count <= most + 1e-6, f"{key} has retried {count} times, and {most:.1f} were allowed."
