"""The service: one method for each use case, the same for MCP, the CLI, HTTP and Python."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mcp_scheduler import errors, views
from mcp_scheduler._version import __version__
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.events import Action, CancelAsked, Group, NewTask, Origin, Submitted, UpdateAsked
from mcp_scheduler.core.states import FINAL, State
from mcp_scheduler.core.task import MILLI, Task
from mcp_scheduler.ports import Clock, Environment, Functions, Outputs, Sensor, Store, TaskQuery
from mcp_scheduler.requests import (
    Caller,
    Cancel,
    GetTask,
    ListFunctions,
    ListTasks,
    MapTask,
    ReadOutput,
    SubmitGraph,
    SubmitMany,
    TaskSpec,
    Update,
    Wait,
)
from mcp_scheduler.runtime.loop import Loop
from mcp_scheduler.runtime.watch import Watch
from mcp_scheduler.service import mapping, reading, waiting
from mcp_scheduler.service.compose import Composer
from mcp_scheduler.service.differences import differences
from mcp_scheduler.service.environments import Environments
from mcp_scheduler.service.find import Finder
from mcp_scheduler.service.groups import Groups, Tally
from mcp_scheduler.service.look import Look
from mcp_scheduler.settings import Queue

_FAILURES_SHOWN = 5
_WAITING_SHOWN = 5


class Service:
    """The use cases. Every method is safe to cancel: what is durable stays, what is not has not happened."""

    def __init__(
        self,
        *,
        loop: Loop,
        cluster: Cluster,
        store: Store,
        functions: Functions,
        outputs: Outputs,
        sensor: Sensor,
        clock: Clock,
        watch: Watch,
        limits: Queue,
        home: Path,
        embedded: bool = False,
    ) -> None:
        self.composer = Composer(cluster, store, functions, clock, limits)
        self.on_stop: Callable[[], None] = lambda: None
        self.doors: Callable[[], int] = lambda: 0
        self._loop = loop
        self._cluster = cluster
        self._store = store
        self.environments = Environments(store, functions)
        self._outputs = outputs
        self._sensor = sensor
        self._clock = clock
        self._watch = watch
        self._limits = limits
        self._home = home
        self._embedded = embedded
        self._started_at = clock.now()
        self._groups = Groups(cluster, store)
        self._find = Finder(cluster, store, self._groups)
        self._look = Look(cluster, loop.progress, clock)
        loop.on_commit += [self._look.committed, self._groups.committed]

    def know(self, environment: Environment) -> None:
        """A door has opened: its functions can be called from now on."""
        self.environments.know(environment)

    # --- submitting

    async def submit(self, caller: Caller, request: TaskSpec) -> views.Submitted:
        """One task. Returns when it is on the disk."""
        return await self.submit_many(caller, SubmitMany(tasks=[request]))

    async def submit_many(self, caller: Caller, request: SubmitMany) -> views.Submitted:
        """Independent tasks, all or none. A task whose key is known already is answered with the first one."""
        told = await self._already_told(caller)
        if told is not None:
            return views.Submitted(tuple(self._look.task(task, duplicate=True) for task in told))
        self._refuse_flood(len(request.tasks))
        await self.environments.keep(caller.environment)
        functions = await self.composer.functions(caller.environment)
        names = await self.composer.names(request.tasks, {})
        new = [
            self.composer.task(
                caller, spec, functions, names, self.composer.fresh_id(spec.name or _short(spec.function))
            )
            for spec in request.tasks
        ]
        known = {item.task.id: task for item in new if (task := await self._known_by_key(item)) is not None}
        fresh = [item for item in new if item.task.id not in known]
        if fresh:
            await self._submit(caller, Submitted(fresh, outside=names.outside, origin=_origin(caller)), known)
        shown = [known.get(item.task.id, item.task) for item in new]
        return views.Submitted(
            tuple(self._look.task(task, duplicate=item.task is not task) for task, item in zip(shown, new, strict=True))
        )

    async def _submit(self, caller: Caller, event: Submitted, known: dict[str, Task]) -> None:
        """Hand in what is new. A key that was taken since it was looked up is looked up once more."""
        try:
            await self._loop.ask(event)
        except errors.DuplicateKey:
            for item in event.tasks:
                task = await self._known_by_key(item)
                if task is not None:
                    known[item.task.id] = task
            again = [item for item in event.tasks if item.task.id not in known]
            if len(again) == len(event.tasks):
                raise
            if again:
                await self._submit(caller, replace(event, tasks=again), known)

    async def submit_graph(self, caller: Caller, request: SubmitGraph) -> views.Submitted:
        """Tasks with dependencies, all or none."""
        return await self._submit_group(caller, request, "graph", request.tasks)

    async def submit_map(self, caller: Caller, request: MapTask) -> views.Submitted:
        """One template over many items, and perhaps a reduce over their results."""
        items = mapping.items_of(request.over)
        specs = mapping.specs_of(request, items)
        return await self._submit_group(caller, request, "map", specs)

    async def _submit_group(
        self, caller: Caller, request: SubmitGraph | MapTask, kind: str, specs: dict[str, TaskSpec]
    ) -> views.Submitted:
        told = await self._already_told(caller)
        if told:
            tally = await self._groups.get(told[0].group)
            return views.Submitted(group=replace(self._group(tally, caller, keys=None), duplicate=True) if tally else None)
        self._refuse_flood(len(specs))
        await self.environments.keep(caller.environment)
        functions = await self.composer.functions(caller.environment)
        order = self.composer.order(specs)
        group_id = self.composer.fresh_id(request.name or kind)
        ids = {key: self.composer.fresh_id(specs[key].name or (key if kind == "graph" else group_id)) for key in order}
        items = tuple(ids[key] for key in specs if key != mapping.REDUCE) if kind == "map" else None
        names = await self.composer.names(specs.values(), ids, items)
        new = [
            self.composer.task(caller, _in_group(key, specs[key], request), functions, names, ids[key], group_id)
            for key in order
        ]
        new[0].task.key = request.idempotency_key or ""
        known = await self._known_by_key(new[0], group=new)
        if known is None:
            group = Group(group_id, request.name or "", kind, caller.principal, len(new), self._clock.now())
            await self._loop.ask(Submitted(new, group, names.outside, _origin(caller)))
        tally = await self._groups.get(known.group if known else group_id)
        if tally is None:
            raise errors.UnknownTask(f"There is no group {known.group if known else group_id}.")
        named = {key: name for key, name in ids.items() if kind == "graph" or key == mapping.REDUCE}
        keys = None if known else named
        return views.Submitted(group=replace(self._group(tally, caller, keys=keys), duplicate=known is not None))

    async def _already_told(self, caller: Caller) -> list[Task] | None:
        """The tasks of a request that was carried out before its door was cut off; None for a new request."""
        origin = _origin(caller)
        if origin is None or not caller.resumed:
            return None
        remembered = await self._store.remembered(origin)
        return None if remembered is None else [await self._find.task(caller, name) for name in remembered.tasks]

    async def _known_by_key(self, new: NewTask, group: Sequence[NewTask] = ()) -> Task | None:
        """The task that took this key before; `DuplicateKey` where it asked for something else."""
        task = new.task
        if not task.key:
            return None
        found = await self._find.by_key(task.terms.principal, task.key)
        if found is None:
            return None
        stored = (await self._store.payloads([found.id])).get(found.id, b"")
        unlike = differences(found, stored, task, new.payload)
        if bool(found.group) != bool(task.group):
            unlike = ["one is a single task, the other a group"]
        elif found.group and not unlike:
            tally = await self._groups.get(found.group)
            if tally is not None and tally.group.size != len(group):
                unlike = [f"{tally.group.size} tasks then, {len(group)} now"]
        if unlike:
            raise errors.DuplicateKey(
                f"The idempotency key '{task.key}' belongs to {found.group or found.id}, which differs: "
                f"{'; '.join(unlike)}.",
                hint="Use another key for other work, or submit exactly the same again.",
                task=found.id,
            )
        return found

    def _refuse_flood(self, count: int) -> None:
        if self._cluster.unfinished + count > self._limits.max_queued:
            raise errors.Unavailable(
                f"{self._cluster.unfinished:,} tasks are unfinished and {count:,} more would pass the limit of "
                f"{self._limits.max_queued:,}.",
                hint="Wait for some to end (wait_for_tasks), or cancel what is not needed.",
            )

    # --- looking

    async def wait(
        self, caller: Caller, request: Wait, progress: Callable[[str], None] | None = None
    ) -> views.WaitReport:
        """Until what was asked for has ended, or the time is up: both are normal answers."""
        tasks, tallies = await self._find.all(caller, request.ids, members=request.mode == "next")
        awaited = waiting.Awaited(tasks, tallies)
        await waiting.wait_until_over(request, awaited, self._watch, progress)
        if request.mode == "next":
            done = waiting.since(tasks, request.cursor or "")
            cursor = waiting.cursor_after(done) or (request.cursor or "")
        else:
            done = [task for task in tasks if task.status.state in FINAL]
            cursor = waiting.cursor_after(done)
        left = [task for task in tasks if task.status.state not in FINAL]
        remaining = len(left) + (sum(tally.open for tally in tallies) if request.mode != "next" else 0)
        complete = waiting.is_over(request, awaited)
        return views.WaitReport(
            done=tuple([await self._with_result(task) for task in done]),
            groups=tuple(self._group(tally, caller) for tally in tallies),
            waiting=tuple(self._look.task(task) for task in left[:_WAITING_SHOWN]),
            remaining=remaining,
            complete=complete,
            cursor=cursor,
            again_in=None if complete else 1.0,
        )

    async def get(self, caller: Caller, request: GetTask) -> views.TaskView | views.GroupView:
        """A task or a group."""
        found = await self._find.any(caller, request.id)
        if isinstance(found, Tally):
            return self._group(found, caller, tasks=request.detail)
        attempts = None
        if request.detail or (found.status.state in FINAL and self._look.last_run(found.id) is None):
            attempts = await self._store.attempts(found.id)
        return await self._with_result(found, attempts=attempts, detail=request.detail)

    async def list(self, caller: Caller, request: ListTasks) -> views.TaskPage:
        """Newest first."""
        query = TaskQuery(
            states=frozenset(State(name) for name in request.states),
            principal=caller.principal if request.mine or caller.isolated else "",
            group=request.group or "",
            tag=request.tag or "",
            name=request.name or "",
            before_seq=_seq(request.cursor),
            limit=request.limit,
        )
        found = await self._store.find(query)
        tasks = [self._cluster.tasks.get(task.id, task) for task in found]
        cursor = str(tasks[-1].seq) if len(tasks) == request.limit else ""
        return views.TaskPage(tuple(self._look.task(task) for task in tasks), cursor, await self._counts())

    async def read(self, caller: Caller, request: ReadOutput) -> views.OutputPage:
        """A piece of a result or of what was printed."""
        task = await self._find.task(caller, request.id)
        if request.what != "result":
            return await reading.stream_page(task, self._outputs, request)
        return reading.result_page(task, await self._result(task), request)

    async def result(self, caller: Caller, id: str) -> Any:  # noqa: A002 - the word of every door
        """The whole result of a task; for a group the list of its tasks' results, in their order."""
        found = await self._find.any(caller, id)
        if isinstance(found, Tally):
            return [await self._result(await self._find.task(caller, name)) for name in found.states]
        return await self._result(found)

    async def _result(self, task: Task) -> Any:
        if task.status.state is not State.SUCCEEDED:
            raise errors.Conflict(
                f"{task.id} has no result: it is {task.status.state}.",
                hint="Call wait_for_tasks first." if task.status.state not in FINAL else "See get_task for its error.",
            )
        found = (await self._store.results([task.id])).get(task.id)
        if found is None or (found.inline is None and not found.file):
            return None
        return json.loads(await self._outputs.result(found.file) if found.file else found.inline or b"null")

    async def _with_result(self, task: Task, **options: Any) -> views.TaskView:
        result = None
        if task.status.state is State.SUCCEEDED and self._look.last_run(task.id) is None:
            result = (await self._store.results([task.id])).get(task.id)
        return self._look.task(task, result=result, **options)

    def _group(
        self, tally: Tally, caller: Caller, *, keys: dict[str, str] | None = None, tasks: bool = False
    ) -> views.GroupView:
        group = tally.group
        if caller.isolated and group.principal != caller.principal:
            raise errors.UnknownTask(f"There is no task or group '{group.id}'.")
        failed = [name for name, state in tally.states.items() if state is State.FAILED][:_FAILURES_SHOWN]
        shown = list(tally.states) if tasks else []
        return views.GroupView(
            id=group.id,
            kind=group.kind,
            name=group.name,
            principal=group.principal,
            submitted_at=group.submitted_at,
            size=group.size,
            counts={state.value: count for state, count in tally.counts.items() if count},
            state=_group_state(tally),
            failures=tuple(self._look.task(task) for name in failed if (task := self._cluster.tasks.get(name))),
            tasks=tuple(self._look.task(task) for name in shown if (task := self._cluster.tasks.get(name))),
            keys=keys,
        )

    # --- changing

    async def cancel(self, caller: Caller, request: Cancel) -> views.Changed:
        """Ask for the end of tasks. Waiting ones are ended when this returns, running ones have been told."""
        if request.tag is not None:
            tasks = self._find.by_tag(caller, request.tag)
        else:
            tasks = await self._find.members(caller, request.ids)
        wanted = [task for task in tasks if task.status.state not in FINAL]
        unchanged = {task.id: f"has already ended: {task.status.state}" for task in tasks if task.status.state in FINAL}
        if wanted:
            await self._loop.ask(CancelAsked(tuple(task.id for task in wanted), _origin(caller)))
        return self._changed(wanted, unchanged)

    async def update(self, caller: Caller, request: Update) -> views.Changed:
        """Hold, resume, retry, reprioritise."""
        action = Action(request.action)
        if action in (Action.RELEASE, Action.SET_DEADLINE):
            raise errors.NotYet(f"This version does not do {action} yet.", hint="hold, resume, retry, set_priority work.")
        if await self._already_told(caller) is not None:
            tasks = await self._find.members(caller, request.ids)
            return self._changed(tasks, {})
        value = _number(request) if action is Action.SET_PRIORITY else None
        tasks = await self._find.members(caller, request.ids)
        unchanged = {task.id: why for task in tasks if (why := _why_not(action, task))}
        wanted = [task for task in tasks if task.id not in unchanged]
        if wanted:
            revived = tuple(task for task in wanted if task.id not in self._cluster.tasks)
            names = tuple(task.id for task in wanted)
            await self._loop.ask(UpdateAsked(names, action, value, revived, _origin(caller)))
        return self._changed([self._cluster.tasks.get(task.id, task) for task in wanted], unchanged)

    def _changed(self, tasks: Sequence[Task], unchanged: dict[str, str]) -> views.Changed:
        return views.Changed(tuple(self._look.task(task) for task in tasks[:20]), unchanged, len(tasks))

    # --- the scheduler itself

    async def load(self, caller: Caller) -> views.LoadView:  # noqa: ARG002 - every use case knows who asks
        """Nodes, what is reserved on them, how loaded they are."""
        load = dict(self._sensor.load())
        nodes = tuple(
            views.NodeView(
                name=name,
                total={key: _units(key, amount) for key, amount in room.total.items()},
                reserved={key: _units(key, amount - room.free.get(key, 0)) for key, amount in room.total.items()},
                load=load,
                running=sum(attempt.node == name for attempt in self._cluster.attempts.values()),
            )
            for name, room in self._cluster.rooms.items()
        )
        alerts = (self._loop.trouble,) if self._loop.trouble else ()
        return views.LoadView(nodes, await self._counts(), alerts, self._cluster.policy.name)

    async def functions(self, caller: Caller, request: ListFunctions) -> views.FunctionPage:
        """What the caller's environment offers."""
        known = (await self.composer.functions(caller.environment)).catalogue
        query = (request.query or "").lower()
        found = [entry for entry in known.functions if query in entry.name.lower() or query in entry.summary.lower()]
        shown = tuple(
            views.FunctionView(entry.name, entry.summary, dict(entry.parameters), dict(entry.options))
            for entry in found[: request.limit]
        )
        return views.FunctionPage(shown, len(found), known.problems, caller.environment)

    async def status(self, caller: Caller) -> views.EngineView:  # noqa: ARG002 - every use case knows who asks
        """The engine itself."""
        database = self._home / "scheduler.db"
        return views.EngineView(
            pid=os.getpid(),
            version=__version__,
            python=sys.executable,
            home=str(self._home),
            started_at=self._started_at,
            doors=self.doors(),
            counts=await self._counts(),
            database_bytes=database.stat().st_size if database.exists() else 0,
            schema=1,
            embedded=self._embedded,
        )

    async def stop(self, caller: Caller, *, force: bool = False) -> None:
        """End the engine. Running work goes on and is adopted by the next engine, unless `force` cancels it first."""
        if force:
            running = [task.id for task in self._cluster.tasks.values() if task.status.state is State.RUNNING]
            if running:
                await self.cancel(caller, Cancel(ids=running))
                await self.wait(caller, Wait(ids=running, timeout=30.0))
        self.on_stop()

    async def _counts(self) -> dict[str, int]:
        return {state.value: count for state, count in (await self._store.counts()).items() if count}


def _origin(caller: Caller) -> Origin | None:
    return Origin(caller.door, caller.request) if caller.door and caller.request else None


def _short(function: str | None) -> str:
    return (function or "task").rpartition(".")[2]


def _in_group(key: str, spec: TaskSpec, request: SubmitGraph | MapTask) -> TaskSpec:
    """A task of a group carries the group's tags; the key belongs to the group alone."""
    if spec.idempotency_key is not None:
        raise errors.InvalidRequest(
            f"Task '{key}' has an idempotency_key of its own.", hint="Give the key to the whole submission."
        )
    if not request.tags:
        return spec
    return spec.model_copy(update={"tags": list(dict.fromkeys([*spec.tags, *request.tags]))})


def _group_state(tally: Tally) -> str:
    counts = tally.counts
    if tally.open:
        return "running"
    for state in (State.FAILED, State.CANCELLED, State.SKIPPED):
        if counts[state]:
            return "cancelled" if state is State.CANCELLED else "failed"
    return "succeeded"


def _why_not(action: Action, task: Task) -> str:
    """Why the action does not apply to the task now; "" where it does."""
    state = task.status.state
    if action is Action.RETRY:
        return "" if state in (State.FAILED, State.CANCELLED, State.SKIPPED) else f"is {state}, only ended tasks are retried"
    if state in FINAL:
        return f"has already ended: {state}"
    if action is Action.HOLD and state is State.RUNNING:
        return "is running; cancel it instead"
    if action is Action.RESUME and not task.status.held:
        return f"is not held back; it is {state}"
    return ""


def _number(request: Update) -> float:
    try:
        value = float(request.value) if request.value is not None else None
    except ValueError:
        value = None
    if value is None or not -100 <= value <= 100 or value != int(value):  # noqa: PLR2004 - the range of priorities
        raise errors.InvalidRequest(f"The priority is {request.value!r}.", hint="Give a whole number from -100 to 100.")
    return value


def _seq(cursor: str | None) -> int | None:
    if not cursor:
        return None
    if not cursor.isdecimal():
        raise errors.InvalidRequest(f"'{cursor}' is no cursor.", hint="Pass the cursor of the last page unchanged.")
    return int(cursor)


def _units(name: str, amount: int) -> float:
    return float(amount) if name == "memory" else amount / MILLI
