"""What is counted outlives the engine: quarantines, retry budgets, what copies may cost, how long items take, what is
unusual.

It lies beside the forecasts in the store, and is written every few seconds and at the end, as far as it has changed.
What a crash takes is those seconds: a place that was withheld in them is offered until it fails again.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any, Final

from mcp_scheduler.core import quarantine
from mcp_scheduler.core.account import Account, Key
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.errors import SchedulerError
from mcp_scheduler.ports import Clock, Store

log = logging.getLogger("mcp_scheduler.accounts")

MARK: Final = "account"  # the first part of a row's name: forecasts have their quantity there
_EVERY: Final = 5.0  # seconds
_AT_ONCE: Final = 500  # rows of one transaction


class Accounts:
    """The accounts of a cluster and `others`, by name, and their rows in the store."""

    def __init__(
        self, cluster: Cluster, store: Store, clock: Clock, others: Mapping[str, Account] | None = None
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._clock = clock
        self._accounts: Mapping[str, Account] = {
            "breakers": cluster.breakers,
            "retries": cluster.retry_budget,
            "hedging": cluster.hedging,
            "chunks": cluster.chunking,
            **(others or {}),
        }

    def take_up(self, rows: Mapping[str, str]) -> None:
        """On boot, when the nodes are there and before anything is placed: what the last engine has kept. A row that
        cannot be read is passed over."""
        now = self._clock.now()
        for name, text in rows.items():
            if not is_account(name):
                continue
            try:
                _, account, *key = json.loads(name)
                self._accounts[account].take_up(tuple(key), json.loads(text), now)
            except (ValueError, KeyError, TypeError, IndexError):
                log.warning("A row of the accounts cannot be read and is passed over: %.100s", name)
        quarantine.go_on(self._cluster, now)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            await self.keep()

    async def keep(self) -> None:
        """Write what has changed. What cannot be written now is written the next time."""
        for name, account in self._accounts.items():
            while account.touched:
                keys = [account.touched.pop() for _ in range(min(_AT_ONCE, len(account.touched)))]
                if not await self._kept({_name(name, key): _text(account.row(key)) for key in keys}):
                    account.touched.update(keys)
                    return

    async def _kept(self, rows: Mapping[str, str | None]) -> bool:
        try:
            await self._store.keep_forecasts(rows)
        except SchedulerError as error:
            log.warning("What is counted could not be kept: %s", error)
            return False
        return True


def is_account(name: str) -> bool:
    """Whether a row of this name is one of an account, not a forecast."""
    return name.startswith(f'["{MARK}"')


def _name(account: str, key: Key) -> str:
    return json.dumps([MARK, account, *key])


def _text(row: list[Any] | None) -> str | None:
    return None if row is None else json.dumps(row)
