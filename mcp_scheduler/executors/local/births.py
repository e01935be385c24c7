"""Workers that never came to serve: what their end says about their environment.

A worker that is killed from outside while it loads the user's modules says nothing about these modules. Another one is
tried, a few times: a killer that strikes every time is not outside any more.
"""

from __future__ import annotations

import signal

from mcp_scheduler.executors.local.links import Message
from mcp_scheduler.executors.local.worker import Worker

KILLED_AT_MOST = 3  # workers in a row, of one environment


class Births:
    """Counts, per environment, how many workers in a row were killed before their first word."""

    def __init__(self) -> None:
        self._killed: dict[str, int] = {}

    def spoke(self, worker: Worker) -> None:
        """It serves."""
        self._killed.pop(worker.environment, None)

    def failure(self, worker: Worker, told: Message) -> str:
        """Why no worker of this environment can serve; "" if this one did, or if another may do better. `told` is the
        last word about the worker."""
        if worker.ready_once or worker.adopted:
            return ""
        if told.get("signal") == signal.SIGKILL and not told.get("oom"):
            killed = self._killed.get(worker.environment, 0) + 1
            self._killed[worker.environment] = killed
            if killed < KILLED_AT_MOST:
                return ""
        return f"{told['text']} {told.get('said', '')}".strip()
