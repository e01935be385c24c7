"""Whichever of the other policies would have served the recent past best, and why.

Candidates are measured on two halves of the recent history, by the real decision (see `simulation.replay`). One is
taken only if it wins clearly on the first half, and again on the second, which had no say in the choice: else chance
would be followed. And it has to be better than what is in force by a margin, or the order would change back and forth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp
from typing import Final

from mcp_scheduler.core.policy import Policy, Scene, Sharing, TaskClass

CANDIDATES: Final = ("balanced", "shortest", "priority", "fifo", "fair_share", "edf")
MARGIN: Final = 0.05  # of the mean logarithm of the slowdown: five percent
WAIT: Final = 2.0  # times the longest wait of the policy in force is too long


@dataclass(frozen=True, slots=True)
class Adaptive:
    """Orders as `inner` does. `why` says what chose it."""

    inner: Policy
    why: str = "nothing has been compared yet"
    name: str = "adaptive"

    @property
    def ages(self) -> bool:
        return self.inner.ages

    @property
    def by_graph(self) -> bool:
        return self.inner.by_graph

    @property
    def by_deadline(self) -> bool:
        return self.inner.by_deadline

    @property
    def sharing(self) -> Sharing:
        return self.inner.sharing

    def rank(self, kind: TaskClass, since: float, deadline: float | None, scene: Scene) -> float:
        return self.inner.rank(kind, since, deadline, scene)

    def terms(self, kind: TaskClass, since: float, deadline: float | None, scene: Scene) -> dict[str, str]:
        return {"order of": f"{self.inner.name}: {self.why}"} | self.inner.terms(kind, since, deadline, scene)


@dataclass(frozen=True, slots=True)
class Measured:
    """What one policy made of a piece of history. `slowdown`: the mean logarithm of how many times longer tasks took
    than they ran; `wait`: the longest, in seconds; `missed`: deadlines."""

    slowdown: float
    wait: float
    missed: int = 0


def choose(current: str, first: Mapping[str, Measured], second: Mapping[str, Measured]) -> tuple[str, str]:
    """The policy to follow from now on, and why. Both halves have a measure of every candidate, `current` too."""
    able = [name for name in first if _is_safe(first[name], first[current])]
    best = min(able, key=lambda name: (first[name].slowdown, name != current))
    gain = first[current].slowdown - first[best].slowdown
    if best == current or gain < MARGIN:
        return current, f"no other policy was better by more than {MARGIN:.0%} on the recent past"
    held = second[current].slowdown - second[best].slowdown
    if held < MARGIN or not _is_safe(second[best], second[current]):
        return current, f"{best} was better on one half of the recent past, but not on the other"
    return best, (
        f"tasks would have been slowed down {1 - exp(-gain):.0%} less than by {current} on one half of the recent past,"
        f" and {1 - exp(-held):.0%} less on the other, which had no say in the choice"
    )


def _is_safe(found: Measured, current: Measured) -> bool:
    """It misses no more deadlines, and leaves nobody waiting much longer."""
    return found.missed <= current.missed and found.wait <= max(WAIT * current.wait, 60.0)
