"""The default order: who has waited long for little goes first, and whoever would otherwise be late.

    weight · (1 + wait / tau)^steepness / (share · seconds)        the largest first

`weight` comes from the priority (ten points double it) and the principal's fair share; `share` is the part of the
cluster's scarcest resource, `seconds` the forecast's median, `tau` a multiple of the mean run time of late. This is
Smith's rule (1956: weight / work minimises the weighted sum of completion times on one machine) with ageing.

A task of a graph counts with the work of the whole graph, because only its end is of use; within the graph the largest
bottom level goes first. With exponent 1 a task whose score is 1/r of the best that arrives is passed by
newcomers until wait = tau · (r - 1) at the latest.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, log1p
from typing import Final

from mcp_scheduler.core.policy import CLASS_ZERO, Scene, Sharing, TaskClass

DOUBLING: Final = 10.0  # points of priority
TAU: Final = 64.0  # mean run times
LEAST_TAU: Final = 30.0  # seconds
MARGIN: Final = 1.0  # of the time a task takes: with so little laxity it is urgent
LEAST_MARGIN: Final = 5.0  # seconds
_LN2: Final = log(2.0)
_WITHIN: Final = 1e-6  # of a rank: what tasks of one graph differ by


@dataclass(frozen=True, slots=True)
class Weighing:
    """`tau` in seconds, 0 to take it from the run times; `by_share`, `by_work`: whether size counts; `deadlines`:
    whether tasks with little laxity go before all others, the earliest deadline first."""

    name: str
    steepness: float = 1.0
    tau: float = 0.0
    by_share: bool = True
    by_work: bool = True
    deadlines: bool = True
    sharing: Sharing = Sharing.NONE
    ages: bool = True
    by_graph: bool = True

    @property
    def by_deadline(self) -> bool:
        return self.deadlines

    def rank(self, kind: TaskClass, since: float, deadline: float | None, scene: Scene) -> float:
        if deadline is not None and self.deadlines and is_urgent(kind, deadline, scene):
            return CLASS_ZERO + deadline
        plan = kind.plan
        start = since if plan is None else plan.since
        tau = self.tau or max(LEAST_TAU, TAU * scene.pace)
        value = kind.priority / DOUBLING * _LN2 + self.steepness * log1p(max(0.0, scene.now - start) / tau)
        if self.by_work:
            value -= log(max(self._work(kind, scene), 1e-9))
        if scene.factors:
            value += log(scene.factor(kind.terms.principal))
        if plan is not None and plan.depth > 0:
            value += _WITHIN * kind.level / plan.depth
        return -value

    def terms(self, kind: TaskClass, since: float, deadline: float | None, scene: Scene) -> dict[str, str]:
        tau = self.tau or max(LEAST_TAU, TAU * scene.pace)
        start = since if kind.plan is None else kind.plan.since
        wait = max(0.0, scene.now - start)
        told = {
            "score": f"{exp(-self.rank(kind, since, None, scene)):.3g} = priority · ageing · fair share / work",
            "priority": f"{kind.priority}, a factor of {2 ** (kind.priority / DOUBLING):.3g}",
            "ageing": f"{(1 + wait / tau) ** self.steepness:.3g}: waits {wait:.0f} s, of {tau:.0f} s that double it",
            "fair share": f"{scene.factor(kind.terms.principal):.2f} for {kind.terms.principal}",
        }
        if self.by_work:
            known = "" if kind.expected is not None else ", a guess: nothing is known of it"
            whole = "" if kind.plan is None else ", of its whole graph"
            told["work"] = f"{self._work(kind, scene):.3g} s{' of the whole cluster' * self.by_share}{whole}{known}"
        if kind.plan is not None:
            told["graph"] = f"{kind.level:.3g} s from its start to the end of the last that waits for it"
        if deadline is not None:
            urgent = self.deadlines and is_urgent(kind, deadline, scene)
            told["deadline"] = f"in {deadline - scene.now:.0f} s{', so it goes before all others' * urgent}"
        return told

    def _work(self, kind: TaskClass, scene: Scene) -> float:
        if kind.plan is not None:
            return kind.plan.work if self.by_share else kind.plan.depth
        seconds = kind.expected.median if kind.expected is not None else scene.pace
        return seconds * kind.share if self.by_share else seconds


def is_urgent(kind: TaskClass, deadline: float, scene: Scene) -> bool:
    """Whether the task has to start soon to end by its deadline, and still can."""
    expected = kind.expected
    median = expected.median if expected is not None else 0.0
    upper = expected.upper if expected is not None else scene.pace
    laxity = deadline - scene.now - upper
    return laxity < max(LEAST_MARGIN, MARGIN * upper) and deadline - scene.now >= median


BALANCED = Weighing("balanced")
SHORTEST = Weighing("shortest", by_share=False)
