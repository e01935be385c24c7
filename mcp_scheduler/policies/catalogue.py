"""Every policy by its name, and how the settings shape them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from mcp_scheduler.core.policy import Policy
from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.policies.deadlines import EDF
from mcp_scheduler.policies.order import FAIR_SHARE, FIFO, LOAD_AWARE, PRIORITY, ROUND_ROBIN
from mcp_scheduler.policies.weighing import BALANCED, SHORTEST

SUMMARIES: Final[Mapping[str, str]] = {
    "balanced": "short and small tasks first, with ageing, fair shares and deadlines: the default",
    "fifo": "in the order of arrival; priority counts for nothing",
    "round_robin": "principals take turns, a task each, and so do the tags of each",
    "priority": "by priority; a point is a head start of a minute, so nobody waits for ever",
    "load_aware": "as priority, and of several nodes the least busy one is taken",
    "shortest": "the shortest expected task first, with ageing",
    "edf": "the earliest deadline first, as long as it can be met",
    "fair_share": "the principal, and tag, that has used least of late goes first",
}
BUILT_IN: Final[Mapping[str, Policy]] = {
    policy.name: policy for policy in (BALANCED, FIFO, ROUND_ROBIN, PRIORITY, LOAD_AWARE, SHORTEST, EDF, FAIR_SHARE)
}
POLICIES = BUILT_IN


class Policies:
    """What there is to choose from. `tau` (seconds, 0: from the run times) and `steepness` shape the ageing of the
    policies that weigh."""

    def __init__(self, *, tau: float = 0.0, steepness: float = 1.0) -> None:
        self._known: dict[str, Policy] = dict(BUILT_IN)
        for policy in (BALANCED, SHORTEST):
            self._known[policy.name] = replace(policy, tau=tau, steepness=steepness)

    def find(self, name: str) -> Policy:
        try:
            return self._known[name]
        except KeyError:
            raise InvalidRequest(
                f"There is no policy '{name}'.", hint=f"Choose one of {', '.join(self._known)}."
            ) from None

    def summaries(self) -> dict[str, str]:
        return {name: SUMMARIES.get(name, "") for name in self._known}

    @property
    def names(self) -> Iterable[str]:
        return self._known
