"""The owner stops the queue, and lets it go on: nothing new starts in between, what runs is not touched."""

from __future__ import annotations

from typing import Final

from mcp_scheduler import views
from mcp_scheduler.core.events import QueuePaused
from mcp_scheduler.core.states import State
from mcp_scheduler.requests import Caller
from mcp_scheduler.service.desk import Desk

PAUSED: Final = "the queue is paused by its owner: nothing new starts until it is resumed"
_SETTING: Final = "paused"


class Pausing(Desk):
    """A pause survives a restart: it is kept among the store's settings."""

    async def pause(self, caller: Caller) -> views.QueueView:  # noqa: ARG002 - every use case knows who asks
        """Start nothing new. Submissions are taken, and wait."""
        return await self._set_paused(PAUSED)

    async def resume(self, caller: Caller) -> views.QueueView:  # noqa: ARG002 - as above
        """Let the queue go on."""
        return await self._set_paused("")

    async def load_pause(self) -> None:
        """On boot, before anything is placed."""
        self._loop.report(QueuePaused(await self._store.setting(_SETTING) or ""))

    async def _set_paused(self, why: str) -> views.QueueView:
        """On the disk first: an engine that dies in between comes back as it was asked to be."""
        await self._store.set_setting(_SETTING, why)
        await self._loop.ask(QueuePaused(why))
        counts = self._cluster.counts
        return views.QueueView(counts[State.QUEUED], counts[State.RUNNING], self._cluster.paused)
