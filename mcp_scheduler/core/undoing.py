"""Rolling back: which compensations run, and when.

A rollback begins when a task has failed for good and no other task of its graph is open any more: until then the
others may still need what would be undone. First come the compensations of those that failed, the one that arrived
last first, then those of the tasks that succeeded, in the reverse order of their ends, one after the other. One that
fails for good does not keep the others from their turn; the rollback is then told as failed. What was cancelled or
skipped is not undone, and where nothing failed, nothing is: a cancel rolls nothing back.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mcp_scheduler.core.draft import Draft
from mcp_scheduler.core.graph import release_dependents, settle_waiting
from mcp_scheduler.core.rollback import DONE, RUNNING, Rollback, rollback_of, tell
from mcp_scheduler.core.states import FINAL, Cause, State
from mcp_scheduler.core.task import Task

NOTHING_TO_UNDO: Final = "Nothing had to be undone."


def final_cause(draft: Draft, task: Task) -> Cause:
    """What the final failure of the task means for it."""
    has_rollback = not task.extras.undoes and rollback_of(draft.cluster.rollbacks, task) is not None
    return Cause.ROLL_BACK if has_rollback else Cause.FAILURE


def succeeded(draft: Draft, task: Task) -> None:
    """A task with a compensation has succeeded: if its graph fails, it is undone before those that ended earlier."""
    found = rollback_of(draft.cluster.rollbacks, task) if task.extras.undo else None
    undo = draft.task(task.extras.undo)
    if found is None or undo not in found.waiting:
        return  # it was cancelled, or the task was run again by a person and is not part of a rollback any more
    found.turns += 1
    draft.set_extras(undo, replace(draft.extras(undo), turn=found.turns))


def settle(draft: Draft) -> None:
    """At the end of a batch: look at each rollback that something has happened to."""
    while draft.touched:
        key = next(iter(draft.touched))
        del draft.touched[key]
        _look(draft, key)


def _look(draft: Draft, key: str) -> None:
    found = draft.cluster.rollbacks.get(key)
    if found is None or found.under_way is not None or (found.open and found.waiting):
        return
    if found.failed and _next_turn(draft, found):
        return
    del draft.cluster.rollbacks[key]
    for task in found.waiting:
        draft.move(task, Cause.SKIP).error = NOTHING_TO_UNDO
        release_dependents(draft, task)
    for task in found.failed:
        extras = draft.extras(task)
        if extras.rollback == RUNNING:
            draft.set_extras(task, extras.with_rollback(DONE))
        draft.move(task, Cause.FAILURE)
        release_dependents(draft, task)


def _next_turn(draft: Draft, found: Rollback) -> bool:
    """The next compensation may run; False if there is none."""
    if found.line is None:
        found.line = _in_order(draft, found)
    while found.line:
        task = found.line.pop()
        if task in found.waiting:
            del found.waiting[task]
            found.under_way = task
            tell(draft, found, RUNNING)
            settle_waiting(draft, task)
            return True
    return False


def _in_order(draft: Draft, found: Rollback) -> list[Task]:
    """Those whose turn comes, the first one last."""
    failed = {task.id for task in found.failed}
    own = [task for task in found.waiting if task.extras.undoes in failed]
    turns = {task: draft.extras(task).turn for task in found.waiting}
    others = [task for task, turn in turns.items() if turn and task.extras.undoes not in failed]
    return sorted(others, key=turns.__getitem__) + sorted(own, key=lambda task: task.seq)


def may_run_again(draft: Draft, task: Task) -> bool:
    """Whether a person may have the ended task run again: not if it was rolled back, and a compensation not before its
    owner has ended."""
    if task.extras.undoes:
        owner = draft.task(task.extras.undoes)
        return owner is None or draft.status(owner).state in FINAL
    return draft.extras(task).rollback == ""


def run_again(draft: Draft, task: Task) -> None:
    """The task is run again by a person. If its compensation was skipped meanwhile, it waits again, for this task
    alone: its graph is over. A compensation belongs to no rollback any more: after a restart it would be taken for one
    of its graph that is under way."""
    if task.extras.undoes:
        draft.set_extras(task, replace(draft.extras(task), saga=task.id))
        return
    undo = draft.task(task.extras.undo) if task.extras.undo else None
    if undo is None or draft.status(undo).state is not State.SKIPPED:
        return
    draft.move(undo, Cause.RETRY).error = ""
    draft.set_extras(undo, replace(draft.extras(undo), saga=task.id, turn=0))
    found = draft.cluster.rollbacks.setdefault(task.id, Rollback())
    found.waiting[undo] = None
    found.open = 1
