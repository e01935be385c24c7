"""The owner chooses the policy, and anybody may ask why a task stands where it stands."""

from __future__ import annotations

import logging
from typing import Final

from mcp_scheduler import errors, views
from mcp_scheduler.core.events import PolicyChosen
from mcp_scheduler.core.explain import explain
from mcp_scheduler.core.policy import Policy
from mcp_scheduler.policies.adaptive import Adaptive
from mcp_scheduler.policies.guarded import Guarded
from mcp_scheduler.requests import Caller, ChoosePolicy, GetTask
from mcp_scheduler.service import copies
from mcp_scheduler.service.adapting import begin_anew, followed
from mcp_scheduler.service.desk import Desk
from mcp_scheduler.service.explaining import lines_of
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
        is_there = bool(chosen) and chosen in self._policies.names
        return views.PolicyView(
            name=self._cluster.policy.name,
            chosen_by="its owner" if is_there else "the settings",
            choices=self._policies.summaries(),
            note=self._why_not_chosen(chosen) if chosen and not is_there else _note(self._cluster.policy),
        )

    def _why_not_chosen(self, name: str) -> str:
        """What keeps the owner's choice from being in force."""
        try:
            self._policies.find(name)
        except errors.InvalidRequest as error:
            return f"{name} was chosen. {error}"
        return ""

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
            lines=(*lines_of(told, now), *copies.lines(self._cluster, found, now)),
        )


def _note(policy: Policy) -> str:
    """What else there is to say of it."""
    if isinstance(policy, Adaptive):
        return f"orders as {policy.inner.name}: {policy.why}"
    return policy.trouble if isinstance(policy, Guarded) else ""
