"""The owner takes devices out of use, for a while or until further notice, and gives them back."""

from __future__ import annotations

import asyncio
import json
from typing import Final

from mcp_scheduler import errors, views
from mcp_scheduler.core.breakers import Trust
from mcp_scheduler.core.devices import DeviceState
from mcp_scheduler.core.events import DeviceWithheld, QuarantineLifted
from mcp_scheduler.core.node import LOCAL
from mcp_scheduler.requests import Caller, Drain, Undrain
from mcp_scheduler.service.desk import Desk
from mcp_scheduler.service.devices import views_of

CAUSE: Final = "drain"
_SETTING: Final = "drains"


class Draining(Desk):
    """What is drained survives a restart: it is kept among the store's settings."""

    async def drain(self, caller: Caller, request: Drain) -> views.Drained:  # noqa: ARG002 - all know who asks
        """Nothing new starts on these devices; what runs there finishes."""
        meant = self._meant(request.device)
        until = None if request.lasting is None else self._clock.now() + request.lasting
        for state in meant:
            self._drains[state.seen.uuid] = until
        await self._keep_drains()
        for state in meant:
            await self._withhold(state.seen.uuid, until)
        return self._drained(meant)

    async def undrain(self, caller: Caller, request: Undrain) -> views.Drained:  # noqa: ARG002
        """These devices are offered again, those too that errors had put out of use: a person says they are well. The
        name of a node ends its quarantine."""
        if request.device in self._cluster.rooms:
            return await self._trust_node(request.device)
        meant = self._meant(request.device)
        await self._end_drains([state.seen.uuid for state in meant])
        for state in meant:
            if self._gpus is not None:
                self._gpus.forgive(state.seen.uuid)
            await self._loop.ask(QuarantineLifted(LOCAL, state.seen.uuid))
        return self._drained(meant)

    async def _trust_node(self, name: str) -> views.Drained:
        if self._cluster.breakers.trust((name, "")) is Trust.TRUSTED:
            raise errors.Conflict(f"{name} is not in quarantine.", hint="To offer a device again, name the device.")
        await self._loop.ask(QuarantineLifted(name, ""))
        return views.Drained(views_of(self._cluster.rooms[name], self._cluster))

    async def load_drains(self) -> None:
        """On boot, before anything is placed."""
        self._drains = json.loads(await self._store.setting(_SETTING) or "{}")
        for uuid, until in self._drains.items():
            self._loop.report(DeviceWithheld(LOCAL, uuid, CAUSE, self._why(until)))
        self._set_end()

    def _meant(self, wish: str) -> list[DeviceState]:
        states = self._cluster.rooms[LOCAL].devices.ordered
        meant = [state for state in states if state.seen.answers_to(wish)]
        if not meant:
            there = ", ".join(f"{state.seen.short} ({state.seen.label})" for state in states) or "none"
            raise errors.InvalidRequest(f"There is no device {wish!r} here. There are: {there}.")
        return meant

    async def _withhold(self, uuid: str, until: float | None) -> None:
        await self._loop.ask(DeviceWithheld(LOCAL, uuid, CAUSE, self._why(until)))

    def _why(self, until: float | None) -> str:
        if until is None:
            return "drained by its owner"
        return f"drained by its owner for {max(0.0, until - self._clock.now()) / 60:.0f} more minutes"

    async def _keep_drains(self) -> None:
        await self._store.set_setting(_SETTING, json.dumps(self._drains))
        self._set_end()

    async def _end_drains(self, uuids: list[str]) -> None:
        for uuid in uuids:
            self._drains.pop(uuid, None)
        await self._keep_drains()
        for uuid in uuids:
            await self._loop.ask(DeviceWithheld(LOCAL, uuid, CAUSE, None))

    def _set_end(self) -> None:
        """Wake up when the first drain ends."""
        if self._drain_end is not None:
            self._drain_end.cancel()
        ends = [until for until in self._drains.values() if until is not None]
        if ends:
            wait = max(0.0, min(ends) - self._clock.now())
            self._drain_end = asyncio.get_running_loop().call_later(wait, self._end_some)

    def _end_some(self) -> None:
        self._drain_ending = asyncio.create_task(self._end_what_is_over(), name="drains")

    async def _end_what_is_over(self) -> None:
        now = self._clock.now()
        over = [uuid for uuid, until in self._drains.items() if until is not None and until <= now]
        await self._end_drains(over)

    def _drained(self, meant: list[DeviceState]) -> views.Drained:
        names = {state.seen.uuid for state in meant}
        room = self._cluster.rooms[LOCAL]
        return views.Drained(tuple(view for view in views_of(room, self._cluster) if view.uuid in names))
