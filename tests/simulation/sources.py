"""Chunks in stages: who may start behind its dependencies, and who may be skipped."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from mcp_scheduler.core.graph import BROKEN_DEPENDENCY
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Task


class Sources:
    """Remembers which tasks have failed: what goes on with their results may start, even if they are run again."""

    def __init__(self) -> None:
        self._failed: set[str] = set()

    def check_start(
        self, task: Task, stored: Mapping[str, Task], succeeded: Collection[str], ended: Collection[str]
    ) -> None:
        """Just before the start is durable. `succeeded` and `ended`: by the reports of this turn."""
        for other in task.after:
            known = stored.get(other)
            over = other in succeeded or (known is not None and known.status.state is State.SUCCEEDED)
            if not over and other == task.extras.source:
                fails = known is not None and (known.status.state is State.FAILED or known.deadline is not None)
                # Of copies one may have failed before, and the last one come back without having begun.
                last = known is not None and known.extras.has_copies and known.status.reason is not None
                over = other in ended or other in self._failed or fails or last
            assert over, f"{task.id} is started before {other} has succeeded."

    def check(self, stored: Mapping[str, Task]) -> None:
        """The failure of its source skips no task."""
        for task in stored.values():
            if task.status.state is State.FAILED:
                self._failed.add(task.id)
            if task.extras.source and task.status.state is State.SKIPPED:
                unjust = BROKEN_DEPENDENCY.format(task.extras.source, State.FAILED)
                assert task.status.error != unjust, f"{task.id} is skipped: {unjust}"
