"""Waiting for the end of tasks and groups (of a lease: for its grant): any, all, or what ended since a cursor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from mcp_scheduler import errors
from mcp_scheduler.core.states import FINAL, State
from mcp_scheduler.core.task import Kind, Task
from mcp_scheduler.requests import Wait
from mcp_scheduler.runtime.watch import Waiter, Watch
from mcp_scheduler.service.groups import Tally

_BEAT = 1.0  # seconds between words of progress


class Awaited:
    """What a wait is about. Task objects live on while somebody holds them: their status is replaced in place."""

    def __init__(self, tasks: list[Task], tallies: list[Tally]) -> None:
        self.tasks = tasks
        self.tallies = tallies
        self.last_open = 0
        self._open_tasks = tasks

    @property
    def open(self) -> int:
        """Tasks and groups that have not come. Those that have are not looked at again."""
        self._open_tasks = [task for task in self._open_tasks if not has_come(task)]
        self.last_open = len(self._open_tasks) + sum(tally.open > 0 for tally in self.tallies)
        return self.last_open

    @property
    def size(self) -> int:
        return len(self.tasks) + len(self.tallies)

    def sentence(self) -> str:
        """One line of progress."""
        total = len(self.tasks) + sum(tally.total for tally in self.tallies)
        left = len(self._open_tasks) + sum(tally.left for tally in self.tallies)
        what = "items" if any(tally.group.items for tally in self.tallies) else "tasks"
        return f"{total - left} of {total} {what} have ended"


def has_come(task: Task) -> bool:
    """Whether what a wait for the task waits for is there: its end, or, of a lease, its grant."""
    state = task.status.state
    return state in FINAL or (state is State.RUNNING and task.terms.kind is Kind.LEASE)


def cursor_after(tasks: Sequence[Task]) -> str:
    """Where a `next` goes on: the end time and arrival number of the last task that was told."""
    if not tasks:
        return ""
    last = max(tasks, key=_ended_key)
    return f"{last.status.at:.6f}:{last.seq}"


def since(tasks: Sequence[Task], cursor: str) -> list[Task]:
    """Those of `tasks` that ended after the cursor, in the order of their ends."""
    ended = sorted((task for task in tasks if has_come(task)), key=_ended_key)
    if not cursor:
        return ended
    at, _, seq = cursor.partition(":")
    try:
        mark = (float(at), int(seq))
    except ValueError:
        raise errors.InvalidRequest(
            f"'{cursor}' is no cursor.", hint="Pass the cursor of the last answer unchanged, or none."
        ) from None
    return [task for task in ended if _ended_key(task) > mark]


def _ended_key(task: Task) -> tuple[float, int]:
    return (round(task.status.at, 6), task.seq)


def is_over(request: Wait, awaited: Awaited) -> bool:
    """Whether the wait has what it asked for."""
    if request.mode == "all":
        return awaited.open == 0
    if request.mode == "any":
        return awaited.open < awaited.size
    return awaited.open == 0 or bool(since(awaited.tasks, request.cursor or ""))


async def wait_until_over(
    request: Wait, awaited: Awaited, watch: Watch, progress: Callable[[str], None] | None
) -> None:
    """Sleep until something ends or a second has passed, look again; time up is a normal end."""
    loop = asyncio.get_running_loop()
    limit = None if request.timeout is None else loop.time() + request.timeout
    with watch.on(request.ids) as waiter:
        while True:
            waiter.event.clear()
            seen = waiter.ends
            left = _BEAT if limit is None else limit - loop.time()
            if is_over(request, awaited) or left <= 0:
                return
            if progress is not None:
                progress(awaited.sentence())
            # A wait for all of ten thousand need not look at each of them whenever a few have ended.
            enough = awaited.last_open if request.mode == "all" and not awaited.tallies else 1
            await _until(waiter, seen + enough, min(left, _BEAT))


async def _until(waiter: Waiter, ends: int, seconds: float) -> None:
    """Until so many ends have been counted, or the time is up."""
    waiter.is_late = False
    limit = asyncio.get_running_loop().call_later(seconds, waiter.give_up)
    try:
        while waiter.ends < ends and not waiter.is_late:
            waiter.event.clear()
            await waiter.event.wait()
    finally:
        limit.cancel()
