"""Tasks that recur. A series has one unfinished occurrence: when that ends, however it does, the next one is made in
the same transaction, so a crash neither doubles an occurrence nor ends the series, and two never run at once.

A time is missed if nobody could start anything then: no engine was there, the occurrence was held back, or the one
before was still running. `catch_up` says what becomes of missed times: `skip` waits for the next regular one, `one`
makes up for all of them with one occurrence, `all` with one for each, one after the other.
"""

from __future__ import annotations

from dataclasses import replace
from math import floor
from typing import TYPE_CHECKING, Final, Protocol

from mcp_scheduler.core.events import NewTask
from mcp_scheduler.core.states import FINAL, Cause, State
from mcp_scheduler.core.task import Extras, Status, Task
from mcp_scheduler.errors import InvariantBroken

if TYPE_CHECKING:
    from mcp_scheduler.core.cluster import Cluster
    from mcp_scheduler.core.draft import Draft

GRACE: Final = 60.0  # seconds; an occurrence that starts no later than this is on time


class Calendar(Protocol):
    """What the lines of cron mean. The core itself knows no days, months or zones."""

    def after(self, line: str, moment: float, /) -> float | None:
        """The first time of the line that is later than `moment`, both in seconds since the epoch; None if there is
        none."""
        ...


class NoCalendar:
    """For a cluster in which nothing recurs by cron."""

    def after(self, line: str, _moment: float, /) -> float | None:
        raise InvariantBroken(f"Nobody is there to read the line '{line}'.")


def next_time(extras: Extras, moment: float, calendar: Calendar) -> float | None:
    """The first time of the series that is later than `moment`, and than the time that `extras` stands for."""
    if extras.cron:
        return calendar.after(extras.cron, max(moment, extras.time))
    steps = max(1, floor((moment - extras.time) / extras.every) + 1)
    when = extras.time + steps * extras.every
    return when if when > moment else when + extras.every  # the division may have been rounded


def caught_up(extras: Extras, now: float, calendar: Calendar) -> Extras:
    """The same occurrence, standing for every time up to `now`."""
    if extras.cron:
        return replace(extras, time=now)
    following = next_time(extras, now, calendar)
    assert following is not None, "a period has no end"
    return replace(extras, time=following - extras.every)


def put_off(draft: Draft, task: Task) -> bool:
    """An occurrence could become queued. True if it waits for another time, because its own was missed."""
    extras, status = draft.extras(task), draft.status(task)
    if not extras.recurs or status.number or draft.now - extras.time <= GRACE or extras.catch_up == "all":
        return False
    calendar = draft.cluster.calendar
    if extras.catch_up == "one":
        draft.set_extras(task, caught_up(extras, draft.now, calendar))
        return False
    when = next_time(extras, draft.now, calendar)
    if when is None:
        return False  # it was the last one: late is better than never
    draft.set_extras(task, replace(extras, time=when))
    draft.move(task, Cause.WAIT_TIME).due = when
    draft.cluster.wake(when, task=task)
    return True


def present(draft: Draft, task: Task) -> Task:
    """The present occurrence of the task's series: the one that was named may have ended while the wish was on its
    way. The task itself where it recurs, or is unfinished."""
    while draft.status(task).state in FINAL and draft.extras(task).over:
        following = draft.task(f"{task.group}-{task.extras.occurrence + 1}")
        if following is None:
            break
        task = following
    return task


def end_series(draft: Draft, task: Task) -> None:
    """No occurrence follows this one."""
    draft.set_extras(task, replace(draft.extras(task), over=True))


def successors(draft: Draft) -> list[Task]:
    """The next occurrence of every series whose present one has ended in this batch, entered into the draft. The
    recurrence is handed on: an ended occurrence that is run again by a person makes no second successor."""
    made: list[Task] = []
    for task in draft.recurred:
        extras = draft.extras(task)
        if draft.status(task).state not in FINAL or not extras.recurs:
            continue
        end_series(draft, task)
        following = _following(extras, draft)
        if following is not None:
            made.append(_add(draft, task, following))
    return made


def _following(extras: Extras, draft: Draft) -> Extras | None:
    """What the next occurrence stands for."""
    now, calendar = draft.now, draft.cluster.calendar
    when = next_time(extras, now if extras.catch_up == "skip" else extras.time, calendar)
    if when is None:
        return None
    following = replace(extras, time=when, occurrence=extras.occurrence + 1, paused=False)
    if extras.catch_up == "one" and when <= now:
        return caught_up(following, now, calendar)
    return following


def _add(draft: Draft, old: Task, extras: Extras) -> Task:
    before, status = draft.extras(old), draft.status(old)
    state = State.HELD if before.paused else State.PENDING
    deadline = None if old.deadline is None else extras.time + old.deadline - before.time
    task = Task(
        id=f"{old.group}-{extras.occurrence}",
        seq=draft.cluster.take_seq(),
        terms=old.terms,
        submitted_at=draft.now,
        status=Status(state, draft.now, held=before.paused, priority=status.priority),
        name=old.name,
        group=old.group,
        tags=old.tags,
        start_after=extras.time,
        deadline=deadline,
        extras=extras,
    )
    draft.fresh[task.id] = task
    draft.changes.added.append(NewTask(task, b"", like=old.id))
    return task


def may_rest(cluster: Cluster, until: float) -> bool:
    """Whether nothing is to be done before `until`: all that is unfinished is held back, or recurs and is not due."""
    waiting = cluster.counts[State.SCHEDULED]
    asleep = sum(len(found.waiting) for found in cluster.rollbacks.values())  # compensations of what is unfinished
    if cluster.unfinished > cluster.counts[State.HELD] + waiting + asleep:
        return False
    return waiting == 0 or all(
        task.extras.recurs and task.status.due > until
        for task in cluster.tasks.values()
        if task.status.state is State.SCHEDULED
    )
