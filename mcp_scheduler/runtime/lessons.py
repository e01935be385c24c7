"""What was learnt outlives the engine: forecasts come from the store on boot, and go back there now and then."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Final

from mcp_scheduler.errors import SchedulerError
from mcp_scheduler.forecast.book import Book, Key
from mcp_scheduler.ports import Store
from mcp_scheduler.runtime.accounts import is_account

log = logging.getLogger("mcp_scheduler.lessons")

_EVERY: Final = 60.0  # seconds
_AT_ONCE: Final = 50  # series made into text in one go: a few milliseconds, in which nobody else is served


class Lessons:
    """The books of forecasts, by name, and their rows in the store. What a crash takes is a minute of lessons."""

    def __init__(self, store: Store, books: Mapping[str, Book]) -> None:
        self._store = store
        self.books = books

    def load(self, rows: Mapping[str, str]) -> None:
        """Everything that was kept. A row that cannot be read is passed over: forecasts are no promise."""
        for name, text in rows.items():
            if is_account(name):
                continue
            try:
                quantity, *key = json.loads(name)
                self.books[quantity].load(tuple(key), text)
            except (ValueError, KeyError, TypeError, IndexError):
                log.warning("A forecast in the store cannot be read and is passed over: %.100s", name)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            await self.keep()

    async def keep(self) -> None:
        """Write what has changed. What cannot be written now is written the next time."""
        for quantity, book in self.books.items():
            while changed := book.changes(_AT_ONCE):
                if not await self._kept(quantity, changed):
                    book.hand_out_again(changed)
                    return

    async def _kept(self, quantity: str, changed: Mapping[Key, str | None]) -> bool:
        try:
            await self._store.keep_forecasts({json.dumps([quantity, *key]): text for key, text in changed.items()})
        except SchedulerError as error:
            log.warning("Forecasts could not be kept: %s", error)
            return False
        return True
