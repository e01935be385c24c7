"""Orders: which of the waiting tasks goes first. An order is a pure function that ranks a task when it becomes
queued; the smallest rank goes first, and ties go by arrival."""

from __future__ import annotations

from dataclasses import dataclass

from mcp_scheduler.core.task import Terms


@dataclass(frozen=True, slots=True)
class Order:
    """A named policy. `ageing` is the head start, in seconds, that one point of priority is worth.

    Waiting makes up for priority: a task of priority p overtakes one of priority q > p that arrives more than
    (q - p) · ageing seconds after it. So no task waits behind later ones for longer than 200 · ageing seconds
    (priorities lie in -100..100). With `ageing` 0 arrival alone counts: that is `fifo`.
    """

    name: str
    ageing: float

    def rank(self, _terms: Terms, priority: int, queued_at: float) -> float:
        """Linear ageing has the same order at every moment, so a rank is computed once, not in every round."""
        return queued_at - priority * self.ageing


FIFO = Order("fifo", 0.0)
PRIORITY = Order("priority", 60.0)
ORDERS = {order.name: order for order in (FIFO, PRIORITY)}
