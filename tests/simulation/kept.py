"""What a task was submitted with is what the store has of it to its end; and what a stored result answers."""

from __future__ import annotations

from collections.abc import Mapping

from mcp_scheduler.core.events import NewTask
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Kind, Task
from tests.simulation.world import World

STAYS = ("pin", "pin_for", "inputs", "source", "replicas", "hedge", "reads", "writes", "undo", "undoes", "cached_from")


def may_be_cached(task: Task) -> bool:
    """As the service has it: a call that stands alone."""
    extras = task.extras
    beside = extras.reads or extras.writes or extras.every or extras.undo or task.start_after or task.status.held
    return task.terms.kind is Kind.FUNCTION and not task.after and not beside and not task.key


class Kept:
    """What was asked for, by task."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._asked: dict[str, tuple[object, ...]] = {}

    def know(self, new: NewTask) -> None:
        task = new.task
        self._asked[task.id] = self._of(task)
        if new.result_of:
            self._world.past[task.id].succeeded = self._world.past[new.result_of].succeeded

    def check(self, stored: Mapping[str, Task]) -> None:
        for name, task in stored.items():
            asked = self._asked.get(name)
            assert asked is None or asked == self._of(task), (
                f"{name} was asked for with {asked}, and has {task.extras}."
            )
            if task.extras.cached_from:
                assert task.status.state is State.SUCCEEDED, (
                    f"{name} had its result when it came, and is {task.status}."
                )
                assert not task.status.number, f"{name} had its result when it came, and was started."

    def _of(self, task: Task) -> tuple[object, ...]:
        return tuple(getattr(task.extras, field) for field in STAYS)
