"""Every policy by its name, and how the settings shape them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from mcp_scheduler.core.policy import Policy
from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.policies.adaptive import Adaptive
from mcp_scheduler.policies.deadlines import EDF, RATE_MONOTONIC
from mcp_scheduler.policies.order import FAIR_SHARE, FIFO, LOAD_AWARE, PRIORITY, ROUND_ROBIN, TIME_SLICE
from mcp_scheduler.policies.weighing import BALANCED, SHORTEST

SUMMARIES: Final[Mapping[str, str]] = {
    "balanced": "short and small tasks first, with ageing, fair shares and deadlines: the default",
    "fifo": "in the order of arrival; priority counts for nothing",
    "round_robin": "principals take turns, a task each, and so do the tags of each",
    "priority": "by priority; a point is a head start of a minute, so nobody waits for ever",
    "load_aware": "as priority, on the least busy node; a host that others overload gets less",
    "time_slice": "as priority, and what runs makes way after its quantum: equals take turns",
    "shortest": "the shortest expected task first, with ageing",
    "edf": "the earliest deadline first, as long as it can be met",
    "rate_monotonic": "recurring tasks first, the shortest period first",
    "adaptive": "as the one that would have served the recent past best; begins with balanced",
    "fair_share": "the principal, and tag, that has used least of late goes first",
}
BUILT_IN: Final[Mapping[str, Policy]] = {
    policy.name: policy
    for policy in (
        BALANCED, FIFO, ROUND_ROBIN, PRIORITY, LOAD_AWARE, SHORTEST, EDF, RATE_MONOTONIC, FAIR_SHARE,
        TIME_SLICE, Adaptive(BALANCED),
    )
}  # fmt: skip


class Policies:
    """What there is to choose from. `tau` (seconds, 0: from the run times) and `steepness` shape the ageing of the
    policies that weigh, `quantum` (seconds) the turns of `time_slice`. `others` come from other packages; `flaws` says
    what is wrong with those not offered."""

    def __init__(
        self,
        *,
        tau: float = 0.0,
        steepness: float = 1.0,
        quantum: float = TIME_SLICE.quantum,
        others: Mapping[str, Policy] | None = None,
        flaws: Mapping[str, str] | None = None,
    ) -> None:
        self._known: dict[str, Policy] = {**(others or {}), **BUILT_IN}
        self._flaws = dict(flaws or {})
        for policy in (BALANCED, SHORTEST):
            self._known[policy.name] = replace(policy, tau=tau, steepness=steepness)
        self._known["time_slice"] = replace(TIME_SLICE, quantum=quantum)
        self._known["adaptive"] = Adaptive(self._known["balanced"])

    def find(self, name: str) -> Policy:
        try:
            return self._known[name]
        except KeyError:
            if name in self._flaws:
                raise InvalidRequest(
                    f"The policy '{name}' cannot be used: {self._flaws[name]}.", hint="Mend the package it comes from."
                ) from None
            raise InvalidRequest(
                f"There is no policy '{name}'.", hint=f"Choose one of {', '.join(self._known)}."
            ) from None

    def summaries(self) -> dict[str, str]:
        return {name: SUMMARIES.get(name, "of another package") for name in self._known}

    @property
    def names(self) -> Iterable[str]:
        return self._known
