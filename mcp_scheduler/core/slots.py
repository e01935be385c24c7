"""Reservations: a slot holds a part of a node for the attempts that follow each other in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Node
from mcp_scheduler.core.task import Kind, Needs, Terms
from mcp_scheduler.errors import InvariantBroken

Lane = tuple[Kind, str, Needs]

WINDOW_SECONDS: Final = 0.02  # calls expected to take longer than this together do not queue behind each other
WINDOW_CALLS: Final = 128
PATIENCE: Final = 0.05  # after this time at the head of others, a call is not the short one it was taken for


def lane_of(terms: Terms) -> Lane:
    """Calls of one lane may follow each other in one slot: same kind, environment and needs."""
    return (terms.kind, terms.environment, terms.needs)


@dataclass(slots=True, eq=False)
class Slot:
    """A reservation. `attempts` are in the order in which the worker takes them; `expected` is their time in all,
    `since` when the first of them became the first."""

    id: str
    node: str
    terms: Terms
    attempts: dict[AttemptId, float] = field(default_factory=dict[AttemptId, float])  # → expected seconds
    expected: float = 0.0
    since: float = 0.0
    watched: bool = False  # a timer looks at it

    def add(self, attempt: AttemptId, seconds: float, now: float) -> None:
        if not self.attempts:
            self.since = now
        self.attempts[attempt] = seconds
        self.expected += seconds

    def drop(self, attempt: AttemptId, now: float) -> bool:
        """Take an attempt out; True when that leaves the slot empty."""
        self.expected -= self.attempts.pop(attempt)
        self.since = now
        return not self.attempts

    def expect(self, attempt: AttemptId, seconds: float) -> None:
        """The attempt takes at least so long: nothing queues behind one that has outlived what was expected of it."""
        self.expected += seconds - self.attempts[attempt]
        self.attempts[attempt] = seconds

    def takes(self, terms: Terms, seconds: float) -> bool:
        """Whether a call of these terms, expected to take `seconds`, may wait behind those that are here."""
        return (
            len(self.attempts) < WINDOW_CALLS
            and self.expected + seconds <= WINDOW_SECONDS
            and (terms is self.terms or lane_of(terms) == lane_of(self.terms))
        )


class Room:
    """A node's capacity and what of it is free. Never below zero: that would be overbooking."""

    __slots__ = ("free", "node", "total")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.total = dict(node.amounts)
        self.free = dict(node.amounts)

    def fits(self, needs: Needs, held: dict[str, int] | None = None) -> bool:
        """Whether the needs are free now; `held` is kept for somebody of a better rank."""
        free = self.free
        for name, amount in needs.amounts:
            if free.get(name, 0) - (held.get(name, 0) if held else 0) < amount:
                return False
        return not needs.gpus

    def could_ever_fit(self, needs: Needs) -> bool:
        """Whether the node is large enough at all."""
        return not needs.gpus and all(self.total.get(name, 0) >= amount for name, amount in needs.amounts)

    def missing(self, needs: Needs) -> list[str]:
        """Which resources are short just now."""
        return [name for name, amount in needs.amounts if self.free.get(name, 0) < amount]

    def take(self, needs: Needs) -> None:
        """Reserve. Overbooking is a defect of the program: whoever proposed must have asked `fits`."""
        if not self.fits(needs):
            raise InvariantBroken(f"{needs} was placed on {self.node.name}, where only {self.free} is free.")
        self.seize(needs)

    def seize(self, needs: Needs) -> None:
        """Reserve for work that runs already (adopted after a crash), even where the node has shrunk since."""
        for name, amount in needs.amounts:
            self.free[name] = self.free.get(name, 0) - amount

    def give_back(self, needs: Needs) -> None:
        for name, amount in needs.amounts:
            self.free[name] = self.free.get(name, 0) + amount

    def resize(self, node: Node) -> None:
        """The node's capacity has changed; what is reserved stays reserved."""
        fresh = dict(node.amounts)
        for name in self.total.keys() | fresh.keys():
            self.free[name] = self.free.get(name, 0) + fresh.get(name, 0) - self.total.get(name, 0)
        self.node, self.total = node, fresh
