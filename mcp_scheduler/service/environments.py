"""Environments outlive their doors: a task that was submitted yesterday runs where its client wanted it to run."""

from __future__ import annotations

import json
from collections.abc import Iterable

from mcp_scheduler.errors import Unavailable
from mcp_scheduler.ports import Environment, Functions, Store

_PREFIX = "environment:"


class Environments:
    """Knows where tasks run; makes an environment durable before the first task that names it."""

    def __init__(self, store: Store, functions: Functions) -> None:
        self._store = store
        self._functions = functions
        self._known: dict[str, Environment] = {}
        self._stored: set[str] = set()

    def know(self, environment: Environment) -> None:
        """A door has brought it."""
        self._known[environment.key] = environment
        self._functions.know(environment)

    def get(self, key: str) -> Environment:
        """The environment of a caller."""
        found = self._known.get(key)
        if found is None:
            raise Unavailable(
                "This client's environment is not known to the engine.",
                hint="Restart the client, then repeat the call.",
            )
        return found

    async def keep(self, key: str) -> None:
        """Make it durable, once."""
        environment = self._known.get(key)
        if key in self._stored or environment is None:
            return
        told = {
            "python": environment.python,
            "cwd": environment.cwd,
            "path": environment.path,
            "functions": environment.functions,
            "variables": dict(environment.variables),
        }
        await self._store.set_setting(_PREFIX + key, json.dumps(told))
        self._stored.add(key)

    async def load(self, keys: Iterable[str]) -> None:
        """Know again what tasks name: after a restart the unfinished ones, and an ended one that is to run again."""
        for key in keys:
            if key in self._known:
                continue
            text = await self._store.setting(_PREFIX + key)
            if text is None:
                continue  # its tasks end as rejected, with a hint to submit them again
            told = json.loads(text)
            self._stored.add(key)
            self.know(
                Environment(
                    key,
                    told["python"],
                    told["cwd"],
                    tuple(told["path"]),
                    tuple(told["functions"]),
                    told["variables"],
                )
            )
