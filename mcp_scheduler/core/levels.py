"""How urgent the tasks of a graph are for its end: the longest chain of work that hangs on each of them.

The bottom level of a task is the expected time from its start to the end of the last one that waits for it. Whoever
starts the task of the largest bottom level first comes within a few percent of the shortest makespan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from mcp_scheduler.core.task import Task


@dataclass(slots=True, eq=False)
class Plan:
    """A graph under way. `work`: the seconds of all its tasks, each weighted with its share; `depth`: the largest level
    in seconds; `levels`: of each task that has not ended."""

    since: float
    work: float = 0.0
    depth: float = 0.0
    levels: dict[str, float] = field(default_factory=dict[str, float])

    def is_over_without(self, task: str) -> bool:
        """The task has ended. Whether it was the last one."""
        self.levels.pop(task, None)
        return not self.levels


def plan(tasks: Iterable[Task], seconds: Callable[[Task], float], share: Callable[[Task], float]) -> Plan | None:
    """The plan of tasks that came together, dependencies before those that name them; None if nobody waits for
    anybody."""
    members = list(tasks)
    levels: dict[str, float] = {}
    known = {task.id for task in members}
    work = 0.0
    if not any(name in known for task in members for name in task.after):
        return None
    behind: dict[str, float] = {}  # the longest chain after a task
    for task in reversed(members):
        took = seconds(task)
        level = levels[task.id] = took + behind.get(task.id, 0.0)
        work += took * share(task)
        for name in task.after:
            if level > behind.get(name, 0.0):
                behind[name] = level
    return Plan(members[0].submitted_at, work, max(levels.values()), levels)
