"""Who holds leases, and until when: fences grow, and a lease ends for a reason."""

from __future__ import annotations

from collections.abc import Sequence

from mcp_scheduler.core import leases
from mcp_scheduler.core.changes import Changes
from mcp_scheduler.core.events import Action, Event, UpdateAsked
from mcp_scheduler.core.states import Reason
from mcp_scheduler.core.task import Kind
from tests.simulation.world import World


class Holders:
    """`fence`: of the last grant that became durable; `renewed`: when a lease was granted, or renewed durably."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.fence = 0
        self.renewed: dict[str, float] = {}

    def is_lease(self, name: str) -> bool:
        return self._world.past[name].terms.kind is Kind.LEASE

    def look(self, changes: Changes, events: Sequence[Event], now: float) -> None:
        """What has just become durable."""
        for attempt in changes.started:
            if self.is_lease(attempt.id.task):
                assert leases.fence(attempt) > self.fence, f"{attempt} has no larger fence than {self.fence}."
                self.fence = leases.fence(attempt)
                self.renewed[attempt.id.task] = now
        asked = {event.action: event.tasks for event in events if isinstance(event, UpdateAsked)}
        for name in asked.get(Action.RENEW, ()):
            if name in changes.statuses and name in self.renewed:
                self.renewed[name] = now
        for ended in changes.ended:
            name = ended.attempt.task
            if not self.is_lease(name):
                continue
            past = self._world.past[name]
            if ended.outcome.reason is None:
                assert name in asked.get(Action.RELEASE, ()), f"{name} has ended, and nobody has released it."
                past.succeeded = True
            elif ended.outcome.reason is Reason.TIMEOUT:
                assert self.renewed[name] + (past.terms.timeout or 0.0) <= now, f"{name} lapsed though it was renewed."
