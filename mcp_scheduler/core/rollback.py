"""What can be rolled back: tasks with a compensation, alone or in a graph.

A compensation is a task of its own, made with its owner. It waits, and is skipped if nothing has to be undone. A task
whose final failure starts a rollback is `rolling_back` until that is over: so whoever waits for it, or for its graph,
waits for the rollback too, and what a rollback has come to is told by the states of tasks alone.

Here is what is derived of that; `undoing` decides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from mcp_scheduler.core.states import FINAL, OVER, State
from mcp_scheduler.core.task import NO_EXTRAS, Task

if TYPE_CHECKING:
    from mcp_scheduler.core.draft import Draft

RUNNING: Final = "running"  # of a rollback
DONE: Final = "done"
FAILED: Final = "failed"


@dataclass(slots=True, eq=False)
class Rollback:
    """A graph, or a single task, that can be rolled back. `open`: how many of its tasks have neither ended nor failed;
    `failed`: those that have, and end with the rollback; `waiting`: compensations whose turn may come; `under_way`: the
    one whose turn it is; `turns`: how many tasks with a compensation have succeeded; `line`: whose turn comes, the
    next one last, or None while that is not known."""

    open: int = 0
    turns: int = 0
    failed: dict[Task, None] = field(default_factory=dict[Task, None])
    waiting: dict[Task, None] = field(default_factory=dict[Task, None])
    under_way: Task | None = None
    line: list[Task] | None = None


Rollbacks = dict[str, Rollback]  # by graph, or by the task that has a compensation for itself alone


def rollback_of(rollbacks: Mapping[str, Rollback], task: Task) -> Rollback | None:
    """The rollback that the task belongs to as one that can fail."""
    return rollbacks.get(key_of(rollbacks, task))


def key_of(rollbacks: Mapping[str, Rollback], task: Task) -> str:
    return task.group if task.group in rollbacks else task.id


def derived(tasks: Collection[Task]) -> Rollbacks:
    """From the facts: on boot, and after a commit that failed. One look at each task where there are none."""
    rollbacks: Rollbacks = {}
    for task in tasks:
        extras = task.extras
        if extras is NO_EXTRAS or not extras.undoes or task.status.is_final:
            continue
        found = rollbacks.setdefault(extras.saga, Rollback())
        found.turns = max(found.turns, extras.turn)
        if task.status.state is State.PENDING:
            found.waiting[task] = None
        else:
            found.under_way = task
    for task in tasks if rollbacks else ():
        found = None if task.extras.undoes or task.status.is_final else rollback_of(rollbacks, task)
        if found is None:
            continue
        if task.status.state is State.ROLLING_BACK:
            found.failed[task] = None
        else:
            found.open += 1
    return rollbacks


def expect(rollbacks: Rollbacks, tasks: Iterable[Task]) -> None:
    """Tasks come in, and among them perhaps compensations of others."""
    tasks = list(tasks)
    undoing = [task for task in tasks if task.extras is not NO_EXTRAS and task.extras.undoes]
    for task in undoing:
        rollbacks.setdefault(task.extras.saga, Rollback()).waiting[task] = None
    for task in tasks if undoing else ():
        found = None if task.extras.undoes else rollback_of(rollbacks, task)
        if found is not None:
            found.open += 1


def moved(draft: Draft, task: Task, old: State, new: State) -> None:
    """The task's state has changed: note what that means for its rollback, and have it looked at."""
    rollbacks = draft.cluster.rollbacks
    if task.extras.undoes:
        _compensation_moved(draft, task, new)
        return
    key = key_of(rollbacks, task)
    found = rollbacks.get(key)
    if found is None or (old in OVER) == (new in OVER):
        return
    found.open += 1 if old in OVER else -1
    found.line = None
    if new is State.ROLLING_BACK:
        found.failed[task] = None
    draft.touched[key] = None


def _compensation_moved(draft: Draft, task: Task, new: State) -> None:
    key = task.extras.saga
    found = draft.cluster.rollbacks.get(key)
    if found is None or new not in FINAL:
        return
    found.waiting.pop(task, None)
    if found.under_way is task:
        found.under_way = None
        if new is not State.SUCCEEDED:
            tell(draft, found, FAILED)
    draft.touched[key] = None


def tell(draft: Draft, found: Rollback, word: str) -> None:
    """Those that have failed carry how their rollback goes: that outlives the engine. What failed stays so."""
    for task in found.failed:
        extras = draft.extras(task)
        if extras.rollback != FAILED:
            draft.set_extras(task, extras.with_rollback(word))
