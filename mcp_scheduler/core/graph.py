"""Dependencies: who waits for whom, and what the end of a task means for those that wait for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mcp_scheduler.core.draft import Draft
from mcp_scheduler.core.recurring import put_off
from mcp_scheduler.core.states import OVER, Cause, State, advance
from mcp_scheduler.core.task import NO_EXTRAS, Task

BROKEN_DEPENDENCY = "Its dependency {} did not succeed ({})."


def enter(draft: Draft, task: Task, outside: Mapping[str, State]) -> None:
    """The first state of a task that comes in, or comes back: skipped, or whatever it lacks.

    `outside` tells how dependencies ended that are no longer in memory. One that nobody knows has not succeeded.
    """
    if task.extras is NO_EXTRAS and not task.after and _goes_on_at_once(draft, task):
        return
    if task.extras.undoes:
        settle_waiting(draft, task)
        return
    before = _open_before(draft, task)
    open_ones: list[str] = []
    for name in dict.fromkeys(task.after):
        other = draft.task(name)
        state = draft.status(other).state if other is not None else outside.get(name, State.SKIPPED)
        if state not in OVER:
            open_ones.append(name)
        elif _breaks(state, task, name):
            draft.skipped[task.id] = before
            draft.move(task, Cause.SKIP).error = BROKEN_DEPENDENCY.format(name, state)
            release_dependents(draft, task)
            return
    draft.cluster.wait_for(task, list(dict.fromkeys((*open_ones, *before))))
    settle_waiting(draft, task)


def _goes_on_at_once(draft: Draft, task: Task) -> bool:
    """A newcomer that waits for nothing, as most do, is queued without further questions; nobody else sees its status
    before the commit."""
    status = task.status
    if status.held or task.start_after > draft.now or task.id not in draft.fresh or draft.cluster.rollbacks:
        return False
    status.state = advance(status.state, Cause.READY, task.id)
    draft.cluster.ready.push(task, status.priority, status.at)
    return True


def _breaks(state: State, task: Task, name: str) -> bool:
    """Whether the task is skipped because its dependency `name` has ended so."""
    return state is not State.SUCCEEDED and not (state is State.FAILED and name == task.extras.source)


def _open_before(draft: Draft, task: Task) -> tuple[str, ...]:
    """Those who come before the task in its graph and have not ended. Who is skipped as it comes in stands for those
    before it, which keeps the order of the others."""
    before: dict[str, None] = {}
    for name in task.extras.behind:
        other = draft.task(name)
        if other is not None and draft.status(other).state not in OVER:
            before[name] = None
        else:
            before.update(dict.fromkeys(draft.skipped.get(name, ())))
    if before and not before.keys() <= set(task.extras.behind):
        draft.set_extras(task, replace(draft.extras(task), behind=tuple(before)))
    return tuple(before)


def settle_waiting(draft: Draft, task: Task) -> None:
    """A waiting task takes the state that says what it lacks: a person's word, its dependencies, its time, nothing."""
    cluster = draft.cluster
    status = draft.status(task)
    due = max(task.start_after, status.due)
    if status.held:
        cause = Cause.HOLD
    elif task.id in cluster.missing or waits_for_a_failure(draft, task):
        cause = Cause.WAIT_DEPENDENCIES
    elif due > draft.now:
        cause = Cause.WAIT_TIME
    elif put_off(draft, task):
        return
    else:
        cause = Cause.READY
    if advance(status.state, cause) is status.state:
        return
    moved = draft.move(task, cause)
    if cause is Cause.WAIT_TIME:
        moved.due = due
        cluster.wake(due, task=task)


def waits_for_a_failure(draft: Draft, task: Task) -> bool:
    """Whether it is a compensation whose turn has not come."""
    found = draft.cluster.rollbacks.get(task.extras.saga) if task.extras.undoes else None
    return found is not None and task in found.waiting


def release_dependents(draft: Draft, task: Task) -> None:
    """The task has ended: whoever waited only for it can go on, or is skipped, and so on down the graph. Who only came
    after it, because the two conflict, goes on however it has ended."""
    cluster = draft.cluster
    ended_tasks = [task]
    while ended_tasks:
        over = ended_tasks.pop()
        state = draft.status(over).state
        for other in cluster.dependents.pop(over.id, ()):
            if over.id in other.after and _breaks(state, other, over.id):
                draft.move(other, Cause.SKIP).error = BROKEN_DEPENDENCY.format(over.id, state)
                ended_tasks.append(other)
                continue
            cluster.missing[other.id] -= 1
            if not cluster.missing[other.id]:
                del cluster.missing[other.id]
                settle_waiting(draft, other)
            elif draft.status(other).state is State.PENDING:
                cluster.coming.note(cluster, other)
