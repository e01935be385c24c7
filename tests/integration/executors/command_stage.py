"""A stage for commands: real shims, real processes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "contracts"))

from executor_stage import LocalStage

from mcp_scheduler.core.changes import Launch
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Attempt
from mcp_scheduler.core.task import Kind, Terms
from mcp_scheduler.ports import Progress


class CommandStage(LocalStage):
    """Launches commands. `limits` of its own where a test wants to see them work."""

    def command(
        self,
        argv: list[Any],
        *,
        name: str = "",
        timeout: float | None = None,
        idle_timeout: float | None = None,
        devices: tuple[str, ...] = (),
        **call: Any,
    ) -> AttemptId:
        """One command in a slot of its own."""
        self._tasks += 1
        attempt = AttemptId(name or f"cmd-{id(self) % 10000}-{self._tasks}", 1)
        terms = Terms(Kind.COMMAND, "x", "here", "tester", timeout=timeout, idle_timeout=idle_timeout)
        self.launches[attempt] = Attempt(attempt, str(attempt), "local", 0.0)
        payload = json.dumps({"command": argv, "cwd": str(self.root), "env": {}, **call}).encode()
        self.executor.launch(Launch(str(attempt), "local", terms, (attempt,), devices), {attempt: payload})
        return attempt

    def python(self, program: str, *arguments: str, **options: Any) -> AttemptId:
        """A Python program as a command."""
        return self.command([sys.executable, "-c", program, *arguments], **options)

    def shell(self, script: str, **options: Any) -> AttemptId:
        """A shell script as a command."""
        return self.command(["/bin/sh", "-c", script], **options)

    def result(self, outcome: Any) -> Any:
        """The result of a command as its dependants see it."""
        assert outcome.reason is None, outcome
        if outcome.result_file:
            place = self.folders.results / outcome.result_file[:2] / outcome.result_file
            return json.loads(place.read_bytes())
        return json.loads(outcome.result)

    def progress(self, attempt: AttemptId) -> list[tuple[float | None, str]]:
        """Every word on how far it is."""
        return [(one.fraction, one.text) for one in self.events if isinstance(one, Progress) and one.attempt == attempt]

    def printed(self, attempt: AttemptId, suffix: str = "out") -> bytes:
        """The file that takes what it prints."""
        path = self.folders.attempts / f"{attempt}.{suffix}"
        return path.read_bytes() if path.exists() else b""
