"""Changing what is here: cancel, hold, resume, retry, another priority."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from mcp_scheduler import errors, views
from mcp_scheduler.core.events import Action, CancelAsked, UpdateAsked
from mcp_scheduler.core.states import FINAL, OVER, State
from mcp_scheduler.core.task import Kind, Task
from mcp_scheduler.requests import Caller, Cancel, Update, seconds
from mcp_scheduler.service.desk import Desk, origin_of
from mcp_scheduler.service.terms import deadline_of

LONGEST: Final = 366 * 86400.0  # seconds, as of every time in a request


class Changing(Desk):
    """The use cases that ask for something to happen to tasks."""

    async def cancel(self, caller: Caller, request: Cancel) -> views.Changed:
        """Ask for the end of tasks. Waiting ones are ended when this returns, running ones have been told."""
        if request.tag is not None:
            tasks = self._find.by_tag(caller, request.tag)
        else:
            tasks = await self._find.members(caller, request.ids)
        wanted = [task for task in tasks if task.status.state not in OVER]
        unchanged = {task.id: _has_ended(task) for task in tasks if task.status.state in OVER}
        if wanted:
            # Who names an occurrence means that one; who names its series, or a tag, means what follows, too.
            whole = frozenset(task.id for task in wanted).difference(request.ids)
            await self._loop.ask(CancelAsked(tuple(task.id for task in wanted), origin_of(caller), whole))
        return self._changed(wanted, told(request.ids, tasks, unchanged))

    async def update(self, caller: Caller, request: Update) -> views.Changed:
        """Hold, resume, retry, reprioritise; release and renew leases."""
        action = Action(request.action)
        if await self._already_told(caller) is not None:
            tasks = await self._find.members(caller, request.ids)
            return self._changed(tasks, {})
        now = self._clock.now()
        value = deadline_of(request.value, now) if action is Action.SET_DEADLINE else _value(action, request)
        tasks = await self._find.members(caller, request.ids)
        unchanged = {task.id: why for task in tasks if (why := _why_not(action, task))}
        wanted = [task for task in tasks if task.id not in unchanged]
        if wanted:
            revived = tuple(task for task in await self._with_compensations(action, wanted) if self._is_gone(task))
            await self.environments.load({task.terms.environment for task in revived})
            names = tuple(task.id for task in wanted)
            outside = await self._ended_dependencies(wanted) if action is Action.RETRY else {}
            await self._loop.ask(UpdateAsked(names, action, value, revived, outside, origin_of(caller)))
        changed = [self._cluster.tasks.get(task.id, task) for task in wanted]
        return self._changed(changed, told(request.ids, tasks, unchanged))

    def _is_gone(self, task: Task) -> bool:
        return task.id not in self._cluster.tasks

    async def _with_compensations(self, action: Action, tasks: list[Task]) -> list[Task]:
        """What is run again can be undone again."""
        names = [task.extras.undo for task in tasks if task.extras.undo] if action is Action.RETRY else []
        return [*tasks, *(await self._store.tasks(names)).values()] if names else tasks

    async def _ended_dependencies(self, tasks: Sequence[Task]) -> dict[str, State]:
        """How those dependencies ended that have left memory."""
        gone = {name for task in tasks for name in task.after if name not in self._cluster.tasks}
        stored = await self._store.tasks(list(gone)) if gone else {}
        return {name: task.status.state for name, task in stored.items()}

    def _changed(self, tasks: Sequence[Task], unchanged: dict[str, str]) -> views.Changed:
        return views.Changed(self._look.tasks(tasks[:20]), unchanged, len(tasks))


def told(named: Collection[str], tasks: Sequence[Task], unchanged: Mapping[str, str]) -> dict[str, str]:
    """Why things do not change: tasks that were named each by itself, those of a group that was by their number, so
    that a group of thousands has one sentence; of those that a tag means, who is in no group is told by itself, too."""
    named = frozenset(named)
    found: dict[str, str] = {}
    counted: dict[str, Counter[str]] = {}
    for task in tasks:
        why = unchanged.get(task.id)
        if why is not None and (task.id in named or not task.group):
            follows = task.extras.occurrence and task.status.state in FINAL
            found[task.id] = why + (f"; its series goes by {task.group}" if follows else "")
        elif why is not None:
            counted.setdefault(task.group, Counter())[why] += 1
    for group, whys in counted.items():
        parts = (f"{count} of its tasks: {'it' if count == 1 else 'each'} {why}" for why, count in whys.most_common(3))
        found[group] = "; ".join(parts)
    return found


def _why_not(action: Action, task: Task) -> str:
    """Why the action does not apply to the task now; "" where it does."""
    state = task.status.state
    if action in (Action.RELEASE, Action.RENEW):
        return _why_no_lease(action, task)
    if action is Action.RETRY:
        return _why_no_retry(task)
    if state in OVER:
        return _has_ended(task)
    follows = state is State.RUNNING and task.extras.recurs
    if action is Action.HOLD and state is State.RUNNING and not follows:
        return f"is running; {'release' if task.terms.kind is Kind.LEASE else 'cancel'} it instead"
    if action is Action.RESUME and not task.status.held and not (follows and task.extras.paused):
        return f"is not held back; it is {state}"
    return ""


def _why_no_retry(task: Task) -> str:
    state = task.status.state
    if state is State.SUCCEEDED:
        return "has succeeded; submit it anew to run it once more"
    if state not in (State.FAILED, State.CANCELLED, State.SKIPPED):
        return f"is {state}; only what has failed, was cancelled or was skipped can be retried"
    if task.extras.rollback:
        return "was rolled back; submit it anew"
    return ""


def _why_no_lease(action: Action, task: Task) -> str:
    state = task.status.state
    if task.terms.kind is not Kind.LEASE:
        return f"is no lease; {action} is for those"
    if state in FINAL:
        return f"has already ended: {state}" + (f" ({task.status.reason})" if task.status.reason else "")
    if state is not State.RUNNING:
        return f"is {state}, not granted yet" + ("; cancel it instead" if action is Action.RELEASE else "")
    return ""


def _value(action: Action, request: Update) -> float | None:
    if action is Action.SET_PRIORITY:
        return _number(request)
    if action is Action.RENEW and request.value is not None:
        return _seconds(request)
    if request.value is not None:
        raise errors.InvalidRequest(
            f"{action} takes no value, and is given {request.value!r}.",
            hint="A value goes with set_priority, set_deadline and renew.",
        )
    return None


def _seconds(request: Update) -> float:
    try:
        found = float(seconds(request.value))  # pyright: ignore[reportArgumentType]
    except ValueError:
        found = 0.0
    if not 0 < found <= LONGEST:
        raise errors.InvalidRequest(
            f"The time is {request.value!r}.", hint="Give seconds or 90s, 5m, 2h; without a value its timeout counts."
        )
    return found


def _has_ended(task: Task) -> str:
    if task.status.state is State.ROLLING_BACK:
        return "has failed and is being rolled back; what can be cancelled is its compensation"
    return f"has already ended: {task.status.state}"


def _number(request: Update) -> float:
    try:
        value = float(request.value) if request.value is not None else None
    except ValueError:
        value = None
    if value is None or not -100 <= value <= 100 or value != int(value):  # noqa: PLR2004 - the range of priorities
        raise errors.InvalidRequest(f"The priority is {request.value!r}.", hint="Give a whole number from -100 to 100.")
    return value
