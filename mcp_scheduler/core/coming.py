"""Who comes next in a graph and is heavy: what `advance` keeps places for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from mcp_scheduler.core.states import State

if TYPE_CHECKING:
    from mcp_scheduler.core.cluster import Cluster
    from mcp_scheduler.core.task import Status, Task

HEAVY: Final = 0.25  # of the cluster's scarcest resource: less finds room by itself
FEW: Final = 8  # dependencies that have not ended
MOST: Final = 32  # tasks that are looked at in one round


@dataclass(slots=True)
class Advance:
    """A place that is kept: `node`, from about `at` on. It is given up at `until`. Both are 0 while nothing is kept."""

    node: str = ""
    at: float = 0.0
    until: float = 0.0


class Coming:
    """Heavy tasks that wait for few others, of which the last ones may run by now: whoever looks has to verify."""

    __slots__ = ("tasks",)

    def __init__(self) -> None:
        self.tasks: dict[Task, Advance] = {}

    def look_at(self, cluster: Cluster, name: str, status_of: Callable[[Task], Status]) -> None:
        """This task has been started: those who wait for it may be next. `status_of`: as it is decided by now, since
        who is held in the same batch does not come."""
        for task in islice(cluster.dependents.get(name, ()), FEW):
            if status_of(task).state is State.PENDING:
                self.note(cluster, task)

    def note(self, cluster: Cluster, task: Task) -> None:
        """The task is pending, and waits for fewer others than before, or for one that runs now."""
        if (
            len(self.tasks) < MOST
            and task not in self.tasks
            and cluster.missing.get(task.id, 0) <= FEW
            and not task.terms.needs.has_devices
            and cluster.floor.share(task.terms.needs) >= HEAVY
        ):
            self.tasks[task] = Advance()

    def rebuild(self, cluster: Cluster) -> None:
        """From what runs."""
        for attempt in cluster.attempts:
            self.look_at(cluster, attempt.task, lambda task: task.status)
