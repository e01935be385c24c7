"""Looking: wait, get, list, read. Nothing here changes anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from mcp_scheduler import errors, views
from mcp_scheduler.core.explain import explain
from mcp_scheduler.core.states import FINAL, State
from mcp_scheduler.core.task import Task
from mcp_scheduler.ports import Result, TaskQuery
from mcp_scheduler.requests import Caller, Gather, GetTask, ListTasks, ReadOutput, Wait
from mcp_scheduler.service import reading, waiting
from mcp_scheduler.service.desk import Desk
from mcp_scheduler.service.explaining import lines_of
from mcp_scheduler.service.given import given
from mcp_scheduler.service.groups import Tally
from mcp_scheduler.service.look import telling

_WAITING_SHOWN = 5
_SOONEST, _LATEST = 1.0, 60.0  # seconds until asking again makes sense
_LONGEST_CURSOR = 18  # digits: a number that fits into the database
_NEXT_SHOWN = 50  # ends told by one `next`; the cursor leads to the others


class Looking(Desk):
    """The use cases that only read."""

    async def wait(
        self, caller: Caller, request: Wait, progress: Callable[[str], None] | None = None
    ) -> views.WaitReport:
        """Until what was asked for has ended, or the time is up: both are normal answers."""
        tasks, tallies = await self._find.all(caller, request.ids, members=request.mode == "next")
        awaited = waiting.Awaited(tasks, [] if request.mode == "next" else tallies)  # their tasks are there
        await waiting.wait_until_over(request, awaited, self._watch, progress)
        if request.mode == "next":
            done = waiting.since(tasks, request.cursor or "")[:_NEXT_SHOWN]
            cursor = waiting.cursor_after(done) or (request.cursor or "")
        else:
            done = [task for task in tasks if waiting.has_come(task)]
            cursor = waiting.cursor_after(done)
        left = [task for task in tasks if not waiting.has_come(task)]
        remaining = len(left) + (sum(tally.open for tally in tallies) if request.mode != "next" else 0)
        complete = waiting.is_over(request, awaited)
        results = await self._old_results(done)
        return views.WaitReport(
            done=tuple([self._look.task(task, result=results.get(task.id)) for task in done]),
            groups=tuple(self._group(tally, caller) for tally in tallies),
            waiting=self._look.tasks(left[:_WAITING_SHOWN]),
            remaining=remaining,
            complete=complete,
            cursor=cursor,
            again_in=None if complete else self._again_in(left),
        )

    def _again_in(self, left: Sequence[Task]) -> float:
        """When something of this is likely to have ended: the soonest of the first few."""
        etas = [self._look.outlook.of(task) for task in left[:_WAITING_SHOWN]]
        ends = [eta.end for eta in etas if eta is not None]
        return min(max(min(ends), _SOONEST), _LATEST) if ends else _SOONEST

    async def gather(self, caller: Caller, request: Gather) -> tuple[views.Return, ...]:
        """The results of tasks, in the order of their ids, once all have ended or the time is up."""
        tasks = await self._find.members(caller, request.ids)
        awaited = waiting.Awaited(tasks, [])
        everything = Wait.model_construct(ids=request.ids, mode="all", timeout=request.timeout, cursor=None)
        await waiting.wait_until_over(everything, awaited, self._watch, None)
        wanted = [task.id for task in tasks if task.status.state is State.SUCCEEDED]
        found = await self._results(wanted)
        return tuple(
            views.Return(
                task.id,
                task.status.state.value,
                found.get(task.id),
                task.status.reason.value if task.status.reason else None,
                task.status.error,
            )
            for task in tasks
        )

    async def _results(self, ids: Sequence[str]) -> dict[str, Any]:
        """What these tasks returned: from memory where it is at hand, else from the store, else from its file."""
        found: dict[str, Any] = {}
        elsewhere: list[str] = []
        for name in ids:
            run = self._look.last_run(name)
            if run is not None and run.outcome.result is not None:
                found[name] = json.loads(run.outcome.result.decode())
            else:
                elsewhere.append(name)
        for name, result in (await self._store.results(elsewhere) if elsewhere else {}).items():
            text = await self._outputs.result(result.file) if result.file else result.inline
            found[name] = None if text is None else json.loads(text)
        return found

    async def get(self, caller: Caller, request: GetTask) -> views.TaskView | views.GroupView:
        """A task or a group."""
        found = await self._find.any(caller, request.id)
        if isinstance(found, Tally):
            return self._group(found, caller, tasks=request.detail)
        attempts = None
        if request.detail or (found.status.state in FINAL and self._look.last_run(found.id) is None):
            attempts = (await self._store.attempts([found.id])).get(found.id, [])
        result = (await self._old_results([found])).get(found.id)
        view = self._look.task(found, result=result, attempts=attempts, detail=request.detail)
        if not request.detail:
            return view
        payload = (await self._store.payloads([found.id])).get(found.id, b"{}")
        line, cwd = given(payload)
        view = replace(view, given=line, cwd=cwd)
        if found.status.state in FINAL:
            return view
        now = self._clock.now()
        return replace(view, decision=lines_of(explain(self._cluster, found, now), now))

    async def list(self, caller: Caller, request: ListTasks) -> views.TaskPage:
        """Newest first."""
        query = TaskQuery(
            states=frozenset(State(name) for name in request.states),
            principal=caller.principal if request.mine or caller.isolated else "",
            group=request.group or "",
            tag=request.tag or "",
            name=request.name or "",
            before_seq=page_before(request.cursor),
            limit=request.limit,
        )
        tasks, more = await self._find.page(query)
        cursor = "" if more is None else str(more)
        return views.TaskPage(await self._told(tasks), cursor, self._counts())

    async def _told(self, tasks: Sequence[Task]) -> tuple[views.TaskView, ...]:
        """With the times of those whose last run has left memory, as after a restart of the engine."""
        ran = [task.id for task in tasks if task.status.state in FINAL and task.status.number]
        left = [name for name in ran if self._look.last_run(name) is None]
        if not left:
            return self._look.tasks(tasks)
        attempts = await self._store.attempts(left)
        return tuple(self._look.task(task, attempts=attempts.get(task.id)) for task in tasks)

    async def read(self, caller: Caller, request: ReadOutput) -> views.OutputPage:
        """A piece of a result or of what was printed."""
        if request.what != "result":
            task = await self._find.task(caller, request.id)
            return await reading.stream_page(task, self._outputs, request, await self._latest(task))
        found = await self._find.any(caller, request.id)
        number = 0 if isinstance(found, Tally) else await self._latest(found)
        return await reading.result_page(request.id, number, await self.result(caller, request.id), request)

    async def _latest(self, task: Task) -> int:
        """The number of the attempt that tells how the task has ended: of copies it need not be the last."""
        rows = (await self._store.attempts([task.id])).get(task.id, []) if task.extras.has_copies else []
        return telling(rows).id.number if rows else task.status.number

    async def result(self, caller: Caller, id: str) -> Any:  # noqa: A002 - the word of every door
        """The whole result of a task; for a group the list of its tasks' results, in their order."""
        found = await self._find.any(caller, id)
        if isinstance(found, Tally):
            told = frozenset((State.SUCCEEDED, State.FAILED) if found.group.chunk else (State.SUCCEEDED,))
            return found.flat(await self._results(found.with_results(told)))
        return await self._result(found)

    async def _result(self, task: Task) -> Any:
        """A chunk of which some items failed has the results of the others."""
        if task.status.state is State.FAILED:
            kept = (await self._results([task.id])).get(task.id)
            if kept is not None:
                return kept
        if task.status.state is not State.SUCCEEDED:
            raise errors.Conflict(
                f"{task.id} has no result: it is {task.status.state}.",
                hint="Call wait_for_tasks first." if task.status.state not in FINAL else "See get_task for its error.",
            )
        return (await self._results([task.id])).get(task.id)

    async def _old_results(self, tasks: Sequence[Task]) -> dict[str, Result]:
        """What those have returned whose runs have left memory, by their ids."""
        old = [
            task.id for task in tasks if task.status.state is State.SUCCEEDED and self._look.last_run(task.id) is None
        ]
        return await self._store.results(old) if old else {}

    def _counts(self) -> dict[str, int]:
        return {state.value: count for state, count in self._cluster.totals().items() if count}


def page_before(cursor: str | None) -> int | None:
    """The sequence number of the task before which the next page ends; None for the first page."""
    if not cursor:
        return None
    if not cursor.isdecimal() or len(cursor) > _LONGEST_CURSOR:
        raise errors.InvalidRequest(f"'{cursor:.40}' is no cursor.", hint="Pass the cursor of the last page unchanged.")
    return int(cursor)
