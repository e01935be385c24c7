"""A submitted task as a Python program holds it, and how it learns that the task did not succeed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mcp_scheduler import views
from mcp_scheduler.errors import SchedulerError

if TYPE_CHECKING:
    from mcp_scheduler.scheduler import Scheduler

ENDED_BADLY: Final = ("failed", "cancelled", "skipped")


class TaskFailed(SchedulerError):
    """The task did not succeed; `task` tells how it ended."""

    code = "task_failed"

    def __init__(self, task: views.TaskView) -> None:
        self.task = task
        super().__init__(f"{task.id} {task.state}: {task.error or task.reason or ''}".strip(), hint=task.hint)


class Handle:
    """A submitted task (or a group of tasks): its id, and ways to wait for it."""

    __slots__ = ("_is_task", "_scheduler", "id")

    def __init__(self, scheduler: Scheduler, id: str, *, is_task: bool = False) -> None:  # noqa: A002 - the word of every door
        self.id = id
        self._scheduler = scheduler
        self._is_task = is_task  # known to be no group

    def __repr__(self) -> str:
        return f"Handle({self.id!r})"

    async def wait(self, timeout: float | None = None) -> views.TaskView | views.GroupView:  # noqa: ASYNC109 - as in wait_for_tasks
        """Until it has ended, or `timeout` seconds have passed; how it stands then."""
        report = await self._scheduler.wait([self.id], timeout=timeout)
        if report.done and report.done[0].id == self.id:
            return report.done[0]
        return await self._scheduler.get(self.id)

    async def result(self, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - as in wait_for_tasks
        """What it returned; a group's results are a list. `TaskFailed` if it did not succeed; `TimeoutError`."""
        if self._is_task:
            return (await self._scheduler.gather([self], timeout))[0]
        view = await self.wait(timeout)
        if isinstance(view, views.TaskView):
            if view.state in ENDED_BADLY:
                raise TaskFailed(view)
            if view.state != "succeeded":
                raise TimeoutError(f"{self.id} is {view.state} after {timeout} s")
            if view.result is not None:
                return view.result
        elif view.state != "succeeded":
            if view.failures:
                raise TaskFailed(view.failures[0])
            if view.state == "running":
                raise TimeoutError(f"{self.id} is not over after {timeout} s")
        return await self._scheduler.full_result(self.id)

    async def cancel(self) -> views.Changed:
        return await self._scheduler.cancel([self.id])
