"""A policy from elsewhere, watched: what it does wrong is told, and the order goes on without it."""

from __future__ import annotations

from typing import Final

from mcp_scheduler.core.policy import Policy, Scene, Sharing, TaskClass, is_courteous, quantum_of
from mcp_scheduler.core.task import Kind, Terms
from mcp_scheduler.policies.order import PRIORITY

_PARTS: Final = {"ages": bool, "by_graph": bool, "by_deadline": bool, "sharing": Sharing}


class Guarded:
    """The policy, until it raises or answers with what is no number; then `priority`, and `trouble` says why."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.name = policy.name
        self.ages = policy.ages
        self.by_graph = policy.by_graph
        self.by_deadline = policy.by_deadline
        self.sharing = policy.sharing
        self.quantum = quantum_of(policy)
        self.courteous = is_courteous(policy)
        self.trouble = ""

    def rank(self, kind: TaskClass, since: float, deadline: float | None, scene: Scene) -> float:
        if not self.trouble:
            try:
                rank = float(self._policy.rank(kind, since, deadline, scene))
            except Exception as error:  # noqa: BLE001 - whatever it raises: the queue goes on
                self.trouble = f"The policy {self.name} raised {error!r}; tasks are ordered by priority instead."
            else:
                if rank == rank:  # noqa: PLR0124 - a number
                    return rank
                self.trouble = f"The policy {self.name} ranks with NaN; tasks are ordered by priority instead."
        return PRIORITY.rank(kind, since, deadline, scene)

    def terms(self, kind: TaskClass, since: float, deadline: float | None, scene: Scene) -> dict[str, str]:
        if self.trouble:
            return PRIORITY.terms(kind, since, deadline, scene) | {"trouble": self.trouble}
        try:
            return {str(name): str(text) for name, text in self._policy.terms(kind, since, deadline, scene).items()}
        except Exception as error:  # noqa: BLE001 - it is a description, no more
            return {"trouble": f"{self.name} cannot explain itself: {error!r}"}


def flaw_of(name: str, made: object) -> str:
    """What is wrong with a policy from elsewhere, by looks and by one trial; "" if nothing is."""
    if getattr(made, "name", None) != name:
        return f"its name is {getattr(made, 'name', None)!r}, and it is registered as {name!r}"
    for part, kind in _PARTS.items():
        if not isinstance(getattr(made, part, None), kind):
            return f"its `{part}` is no {kind.__name__}"
    for part in ("rank", "terms"):
        if not callable(getattr(made, part, None)):
            return f"it has no method `{part}`"
    kind = TaskClass(Terms(Kind.FUNCTION, "module.function", "", "somebody"), 0)
    try:
        rank = made.rank(kind, 0.0, None, Scene(1.0))  # type: ignore[attr-defined] # it was looked for above
    except Exception as error:  # noqa: BLE001 - whatever it raises, it is told
        return f"a trial of its rank raised {error!r}"
    if not isinstance(rank, (int, float)) or rank != rank:  # noqa: PLR0124
        return f"its rank of a trial is {rank!r}, no number"
    return ""
