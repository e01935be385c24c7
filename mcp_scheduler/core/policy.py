"""What a policy is: it ranks the classes of tasks that wait. The smallest rank goes first, ties go by arrival.

A policy proposes an order, and no more: placement verifies every start. A bad one wastes capacity and overbooks
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from mcp_scheduler.core.estimates import Expected
from mcp_scheduler.core.levels import Plan
from mcp_scheduler.core.task import Terms

CLASS_ZERO: Final = -1e12  # added to a deadline: before all that is ranked otherwise, the earliest deadline first


class Sharing(StrEnum):
    """How turns are divided among principals, and among the tags of each, before any rank is looked at."""

    NONE = "none"
    TURNS = "turns"  # one after the other, a task each
    USAGE = "usage"  # whoever has used least of late


@dataclass(slots=True)
class Scene:
    """What a rank may look at beside the class: `now`, the time for which all ranks of an epoch are computed; `pace`,
    the mean seconds that calls took of late; `factors`, the weight of each principal (1 for those not named)."""

    now: float = 0.0
    pace: float = 60.0
    factors: dict[str, float] | None = None

    def factor(self, principal: str) -> float:
        return 1.0 if self.factors is None else self.factors.get(principal, 1.0)


@dataclass(slots=True)
class TaskClass:
    """What the tasks of one queue have in common. `share` is the largest part that one of them takes of any resource
    of the whole cluster; `plan` is the graph that they belong to, `level` the seconds from the start of one of them to
    the end of what waits for it; both are None and 0 outside of graphs. `period`: seconds between two runs, or
    0; `pin`: the place that a plan has chosen for them, or ()."""

    terms: Terms
    priority: int
    expected: Expected | None = None
    share: float = 1.0
    plan: Plan | None = None
    level: float = 0.0
    period: float = 0.0
    pin: tuple[str, ...] = ()


def quantum_of(policy: Policy) -> float:
    """Seconds after which a call makes way for others of equal or higher rank; 0 where nobody does: a policy need not
    have a `quantum`."""
    return float(getattr(policy, "quantum", 0.0))


def is_courteous(policy: Policy) -> bool:
    """Whether work makes way for other programs on a host that these overload; a policy need not be `courteous`."""
    return bool(getattr(policy, "courteous", False))


class Policy(Protocol):
    """An order. `ages`: ranks change as time passes, so heads are ranked anew now and then. `by_graph`: it looks at the
    graph that a task belongs to. `by_deadline`: tasks with a deadline stand in queues of their own, the earliest first.

    Whatever the policy, tasks of about the same expected length stand in one queue: whether they fit before somebody's
    reservation is a question of that."""

    @property
    def name(self) -> str: ...
    @property
    def ages(self) -> bool: ...
    @property
    def by_graph(self) -> bool: ...
    @property
    def by_deadline(self) -> bool: ...
    @property
    def sharing(self) -> Sharing: ...
    def rank(self, kind: TaskClass, since: float, deadline: float | None, scene: Scene, /) -> float:
        """Of a task that has waited since then."""
        ...

    def terms(self, kind: TaskClass, since: float, deadline: float | None, scene: Scene, /) -> dict[str, str]:
        """What the rank is made of, by name, for a person."""
        ...
