"""The owner chooses the policy, and anybody may ask why a task stands where it stands."""

from __future__ import annotations

import logging
from typing import Final

from mcp_scheduler import errors, views
from mcp_scheduler.core.events import PolicyChosen
from mcp_scheduler.core.explain import Explanation, explain
from mcp_scheduler.core.policy import Policy
from mcp_scheduler.policies.adaptive import Adaptive
from mcp_scheduler.policies.guarded import Guarded
from mcp_scheduler.requests import Caller, ChoosePolicy, GetTask
from mcp_scheduler.service.adapting import begin_anew, followed
from mcp_scheduler.service.desk import Desk
from mcp_scheduler.service.groups import Tally

_SETTING: Final = "policy"
log = logging.getLogger("mcp_scheduler.policy")


class Choosing(Desk):
    """What is chosen survives a restart: it is kept among the store's settings, and wins over those of the home."""

    async def policy(self, caller: Caller, request: ChoosePolicy) -> views.PolicyView:  # noqa: ARG002 - all know who asks
        """The policy in force; with a name: that one from now on. The empty name gives the choice back to the
        settings."""
        if request.name is not None:
            chosen = self._policies.find(request.name or self._limits.policy)
            await self._store.set_setting(_SETTING, request.name)
            await begin_anew(self._store)
            await self._loop.ask(PolicyChosen(chosen))
        return await self._policy_view()

    async def load_policy(self) -> None:
        """On boot. A choice that is not there any more (a plug-in was removed) is told, and the settings decide."""
        name = await self._store.setting(_SETTING)
        if name:
            try:
                self._cluster.use(self._policies.find(name))
            except errors.InvalidRequest as error:
                log.warning("The chosen policy cannot be used, so %s is: %s", self._cluster.policy.name, error)
        if isinstance(self._cluster.policy, Adaptive):
            kept = await followed(self._store, self._policies)
            if kept is not None:
                self._cluster.use(kept)

    async def _policy_view(self) -> views.PolicyView:
        chosen = await self._store.setting(_SETTING)
        return views.PolicyView(
            name=self._cluster.policy.name,
            chosen_by="its owner" if chosen else "the settings",
            choices=self._policies.summaries(),
            note=_note(self._cluster.policy),
        )

    async def explain(self, caller: Caller, request: GetTask) -> views.ExplanationView:
        """The terms of the decision about one task, as it stands now."""
        found = await self._find.any(caller, request.id)
        if isinstance(found, Tally):
            raise errors.InvalidRequest(f"{request.id} is a group.", hint="Ask about one of its tasks.")
        now = self._clock.now()
        told = explain(self._cluster, found, now)
        return views.ExplanationView(
            id=found.id,
            state=found.status.state.value,
            policy=told.policy,
            why=self._look.why(found, found.status),
            lines=lines_of(told, now),
        )


def _note(policy: Policy) -> str:
    """What else there is to say of it."""
    if isinstance(policy, Adaptive):
        return f"orders as {policy.inner.name}: {policy.why}"
    return policy.trouble if isinstance(policy, Guarded) else ""


def lines_of(told: Explanation, now: float) -> tuple[str, ...]:
    """The explanation as lines of text."""
    lines = [f"rank, {name}: {text}" for name, text in told.rank.items()]
    if told.before is not None:
        lines.append(f"before it: {told.before} tasks stand in queues that go first")
    if told.seconds is not None:
        median, upper = told.seconds
        lines.append(f"takes: about {median:.3g} s, 9 in 10 at most {upper:.3g} s")
    elif told.rank or told.ends is not None:
        lines.append("takes: nobody knows; nothing like it has ended yet")
    lines += _reservations(told, now)
    for name, terms in told.nodes:
        lines.append(
            f"node {name}: {terms.seconds:.3g} s = (start {terms.cold:.3g} + run {terms.takes:.3g}) · 100 /"
            f" weight {terms.weight:.0f} + left over {terms.left_over:.3g}"
        )
    lines += _turns(told, now)
    if told.ends is not None:
        lines.append(f"ends: within {max(0.0, told.ends - now):.3g} s, by the upper bound of its kind")
    if told.retries is not None:
        lines.append(f"retries: its function has {told.retries[0]:.0f} of {told.retries[1]} left")
    return tuple(lines)


def _reservations(told: Explanation, now: float) -> list[str]:
    lines: list[str] = []
    if told.claim is not None:
        node, at, strict_at = told.claim
        when = f"in about {max(0.0, at - now):.3g} s" if at < float("inf") else "when somebody leaves"
        lines.append(f"reservation: a place on {node} {when}; others pass it only if they do not delay it")
        if strict_at <= now:
            lines.append("reservation: it has waited long beyond its promise, so nothing passes it any more")
        else:
            lines.append(f"reservation: from {strict_at - now:.3g} s from now on nothing passes it any more")
    if told.advance is not None:
        node, at, until = told.advance
        lines.append(
            f"reservation in advance: a place on {node} in about {max(0.0, at - now):.3g} s, when what it waits for has"
            " ended; others that go after it use it only if they end by then; given up in"
            f" {max(0.0, until - now):.3g} s"
        )
    return lines


def _turns(told: Explanation, now: float) -> list[str]:
    lines: list[str] = []
    if told.still is not None:
        lines.append(f"time slice: it stands still for {now - told.still:.0f} s, and goes on when its turn comes")
    if told.stood:
        lines.append(f"time slice: it has stood still for {told.stood:.0f} s in all, which do not count as its time")
    return lines
