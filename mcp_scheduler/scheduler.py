"""The Python door: `async with Scheduler.open() as scheduler`.

The engine runs in this process where the home is free, so that a submission costs no hop; where another engine serves
the home, this becomes a client of it. Either way the same tasks, the same promises.

    from mcp_scheduler import Scheduler, function

    @function(retry=3, idempotent=True)
    def count_words(path: str) -> int:
        return len(open(path).read().split())

    async with Scheduler.open() as scheduler:
        task = await scheduler.submit(count_words, path="/etc/hosts")
        print(await task.result())
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from pydantic import ValidationError

from mcp_scheduler import plans, requests, views
from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.handles import ENDED_BADLY, Handle, TaskFailed
from mcp_scheduler.hello import capture_environment, environment_key, make_hello
from mcp_scheduler.home import EngineLock, Home
from mcp_scheduler.lease import Lease, kept
from mcp_scheduler.ports import Environment
from mcp_scheduler.requests import Caller

Where = Literal["here", "shared"]
M = TypeVar("M", bound=requests.Request)


class _Service(Protocol):
    """What the engine's service and its remote twin have in common."""

    async def submit_many(self, caller: Caller, request: requests.SubmitMany, /) -> views.Accepted: ...
    async def submit(self, caller: Caller, request: requests.TaskSpec, /) -> views.Submitted: ...
    async def gather(self, caller: Caller, request: requests.Gather, /) -> tuple[views.Return, ...]: ...
    async def submit_graph(self, caller: Caller, request: requests.SubmitGraph, /) -> views.Submitted: ...
    async def submit_map(self, caller: Caller, request: requests.MapTask, /) -> views.Submitted: ...
    async def wait(
        self, caller: Caller, request: requests.Wait, progress: Callable[[str], None] | None = None, /
    ) -> views.WaitReport: ...
    async def get(self, caller: Caller, request: requests.GetTask, /) -> views.TaskView | views.GroupView: ...
    async def list(self, caller: Caller, request: requests.ListTasks, /) -> views.TaskPage: ...
    async def read(self, caller: Caller, request: requests.ReadOutput, /) -> views.OutputPage: ...
    async def result(self, caller: Caller, id: str, /) -> Any: ...  # noqa: A002 - the word of every door
    async def cancel(self, caller: Caller, request: requests.Cancel, /) -> views.Changed: ...
    async def update(self, caller: Caller, request: requests.Update, /) -> views.Changed: ...
    async def plan(self, caller: Caller, request: requests.PlanTasks, /) -> plans.PlanView: ...
    async def pause(self, caller: Caller, /) -> views.QueueView: ...
    async def resume(self, caller: Caller, /) -> views.QueueView: ...
    async def policy(self, caller: Caller, request: requests.ChoosePolicy, /) -> views.PolicyView: ...
    async def explain(self, caller: Caller, request: requests.GetTask, /) -> views.ExplanationView: ...
    async def forecasts(self, caller: Caller, request: requests.AskForecasts, /) -> views.ForecastPage: ...
    async def load(self, caller: Caller, /) -> views.LoadView: ...
    async def functions(self, caller: Caller, request: requests.ListFunctions, /) -> views.FunctionPage: ...


class Scheduler:
    """The scheduler's use cases for Python programs. Make one with `Scheduler.open`."""

    def __init__(self, service: _Service, caller: Caller, know: Callable[[str], Awaitable[Caller]]) -> None:
        self._service = service
        self._caller = caller
        self._know = know

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        home: str | Path | None = None,
        *,
        functions: Iterable[str | Path] = (),
        principal: str = "",
        python: str = "",
        where: Where = "here",
    ) -> AsyncGenerator[Scheduler]:
        """A scheduler over `home` (default: the user's own).

        `functions` names files and modules with functions, beside those that are passed to `submit` as objects.
        `where="shared"` always uses a separate engine process, which outlives this program and is shared with other
        doors; "here" runs the engine in this process if no other has the home.
        """
        found = Home.find(str(home or ""))
        sources = tuple(str(source) for source in functions)
        captured = capture_environment(python=python or sys.executable, functions=sources)
        captured["path"] = [*captured["path"], *(entry for entry in sys.path if entry and entry not in _own_paths())]
        name = principal or Path(sys.argv[0] or "python").stem
        found.prepare()
        lock = EngineLock.take(found) if where == "here" else None
        if lock is None:
            async with _client(found, captured, name) as scheduler:
                yield scheduler
            return
        async with _engine_here(found, lock, captured, name) as scheduler:
            yield scheduler

    async def submit(
        self,
        function: str | Callable[..., Any],
        /,
        *,
        options: Mapping[str, Any] | None = None,
        **arguments: Any,
    ) -> Handle:
        """Submit one call; returns when it is durable. `options` are the further fields of a task: needs, retry,
        timeout, after, priority, name, tags, idempotency_key, start_after, reads, writes, on_failure, cache, inputs,
        replicas, hedge; every, cron and catch_up make a series, whose handle is answered."""
        spec = self._spec({"function": await self._name(function), "arguments": arguments, **(options or {})})
        if spec.recurs:
            return self._group((await self._service.submit(self._caller, spec)).group)
        return (await self._submit_all([spec]))[0]

    async def submit_many(self, tasks: Sequence[Mapping[str, Any]]) -> list[Handle]:
        """Submit independent tasks, each as a mapping of its fields, in one transaction."""
        return await self._submit_all([self._spec(task) for task in tasks])

    async def _submit_all(self, specs: list[requests.TaskSpec]) -> list[Handle]:
        """A handle needs no more than an id: no view of the task is made."""
        accepted = await self._service.submit_many(self._caller, requests.SubmitMany.model_construct(tasks=specs))
        return [Handle(self, task_id, is_task=True) for task_id in accepted.ids]

    async def submit_graph(self, tasks: Mapping[str, Mapping[str, Any]], **options: Any) -> Handle:
        """Submit tasks with dependencies by key; see the tool `submit_graph`."""
        request = _valid(requests.SubmitGraph, {"tasks": dict(tasks), **options})
        return self._group((await self._service.submit_graph(self._caller, request)).group)

    async def map(
        self,
        function: str | Callable[..., Any],
        items: Sequence[Any],
        *,
        argument: str = "",
        chunk: int | str | None = None,
        stages: Sequence[Mapping[str, Any]] = (),
        reduce: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> Handle:
        """Call `function` once for each item: an item is a mapping of arguments, or the value of `argument`.
        With `chunk` (a number, "auto", or the time that a chunk shall take, as "2s") many small calls are one task.
        `stages` are further calls for each item, as mappings of their fields: {"$result": "previous"} is what the one
        before returned."""
        fixed: dict[str, Any] = {"arguments": {argument: {"$item": True}}} if argument else {}
        template = {"function": await self._name(function), **fixed, **(options or {})}
        over = {"items": list(items)}
        body: dict[str, Any] = {"task": template, "over": over, "chunk": chunk, "reduce": reduce, "name": name}
        body["stages"] = list(stages)
        request = _valid(requests.MapTask, {key: value for key, value in body.items() if value is not None})
        return self._group((await self._service.submit_map(self._caller, request)).group)

    @asynccontextmanager
    async def lease(
        self, *, ttl: float = 60.0, options: Mapping[str, Any] | None = None, **needs: Any
    ) -> AsyncGenerator[Lease]:
        """Hold cpus, memory, gpus or named resources until the block ends: `async with scheduler.lease(gpus=1) as it`.

        Waits until it is granted, and renews it as long as this program lives; if it dies, the lease lapses after `ttl`
        seconds. At the end of the block `LeaseLost` is raised if it was lost before. `options` are the further fields
        of a task: name, priority, after, tags.
        """
        asked = {"lease": True, "needs": needs, "timeout": ttl, **(options or {})}
        submitted = await self._service.submit(self._caller, self._spec(asked))
        name = submitted.tasks[0].id
        try:
            await self.wait([name])
            view = await self.get(name)
            assert isinstance(view, views.TaskView)
            if view.state != "running":
                raise TaskFailed(view)
            async with kept(view, ttl, lambda seconds: self.update([name], "renew", seconds)) as held:
                yield held
        finally:
            await asyncio.shield(self._let_go(name))

    async def _let_go(self, name: str) -> None:
        """Release the lease; one that was not granted yet is not wanted any more."""
        if not (await self.update([name], "release")).count:
            await self.cancel([name])

    async def gather(self, handles: Sequence[Handle], timeout: float | None = None) -> list[Any]:  # noqa: ASYNC109 - as in wait_for_tasks
        """The results of many tasks, in their order; `TaskFailed` for the first that did not succeed, `TimeoutError`
        if one has not ended after `timeout` seconds."""
        asked = requests.Gather.model_construct(ids=[handle.id for handle in handles], timeout=timeout)
        found = await self._service.gather(self._caller, asked)
        for one in found:
            if one.state in ENDED_BADLY:
                view = await self.get(one.id)
                assert isinstance(view, views.TaskView)
                raise TaskFailed(view)
            if one.state != "succeeded":
                raise TimeoutError(f"{one.id} is {one.state} after {timeout} s")
        return [one.result for one in found]

    async def wait(
        self,
        ids: Sequence[str],
        *,
        mode: Literal["all", "any", "next"] = "all",
        timeout: float | None = None,  # noqa: ASYNC109 - as in wait_for_tasks
        cursor: str | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> views.WaitReport:
        """Until all (or any, or the next) of the tasks and groups have ended."""
        request = requests.Wait(ids=list(ids), mode=mode, timeout=timeout, cursor=cursor)
        return await self._service.wait(self._caller, request, progress)

    async def get(self, id: str, *, detail: bool = False) -> views.TaskView | views.GroupView:  # noqa: A002
        return await self._service.get(self._caller, requests.GetTask(id=id, detail=detail))

    async def full_result(self, id: str) -> Any:  # noqa: A002 - the word of every door
        """The whole result of a task that has succeeded; of a group the list of its tasks' results."""
        return await self._service.result(self._caller, id)

    async def list(self, **query: Any) -> views.TaskPage:
        """Tasks, newest first; see the tool `list_tasks` for what can be asked."""
        return await self._service.list(self._caller, _valid(requests.ListTasks, query))

    async def read(self, id: str, what: str = "stdout", **query: Any) -> views.OutputPage:  # noqa: A002
        """A piece of a result, or of what a task printed."""
        return await self._service.read(self._caller, _valid(requests.ReadOutput, {"id": id, "what": what, **query}))

    async def cancel(self, ids: Sequence[str] = (), *, tag: str | None = None) -> views.Changed:
        return await self._service.cancel(self._caller, _valid(requests.Cancel, {"ids": list(ids), "tag": tag}))

    async def update(self, ids: Sequence[str], action: str, value: float | str | None = None) -> views.Changed:
        """hold, resume, retry, set_priority; of a lease release, renew (`value`: seconds from now)."""
        return await self._service.update(
            self._caller, _valid(requests.Update, {"ids": list(ids), "action": action, "value": value})
        )

    async def plan(
        self,
        tasks: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        policies: Sequence[str] = (),
        objectives: Sequence[Literal["makespan", "energy", "utilisation"]] = (),
        seconds: float = 2.0,
        **page: int,
    ) -> plans.PlanView:
        """A dry run of these tasks (as for `submit_graph`) or of all that is unfinished, within `seconds`; see the tool
        `plan_tasks`. With objectives `submit_graph(tasks, plan=…)` takes `view.plan`, or a plan of `view.front`."""
        asked: dict[str, Any] = {"policies": list(policies), "objectives": list(objectives), **page}
        asked |= {"seconds": seconds, "tasks": None if tasks is None else dict(tasks)}
        return await self._service.plan(self._caller, _valid(requests.PlanTasks, asked))

    async def pause(self) -> views.QueueView:
        """Start nothing new until `resume`, over restarts too. What runs goes on."""
        return await self._service.pause(self._caller)

    async def resume(self) -> views.QueueView:
        """Let the queue go on."""
        return await self._service.resume(self._caller)

    async def policy(self, name: str | None = None) -> views.PolicyView:
        """The policy in force and what can be chosen; with `name` that one from now on, over restarts too ("" gives the
        choice back to the settings)."""
        return await self._service.policy(self._caller, _valid(requests.ChoosePolicy, {"name": name}))

    async def explain(self, id: str) -> views.ExplanationView:  # noqa: A002 - the word of every door
        """Why the task runs where it does, or does not run yet, term by term."""
        return await self._service.explain(self._caller, requests.GetTask(id=id))

    async def forecasts(self, name: str | None = None, *, limit: int = 50) -> views.ForecastPage:
        """What has been learnt of all functions and commands, or of one in every detail, and how true it was."""
        asked = {"name": name, "limit": limit}
        return await self._service.forecasts(self._caller, _valid(requests.AskForecasts, asked))

    async def load(self) -> views.LoadView:
        """Nodes, their capacity, what is reserved."""
        return await self._service.load(self._caller)

    async def functions(self, query: str | None = None) -> views.FunctionPage:
        """What can be called."""
        return await self._service.functions(self._caller, requests.ListFunctions(query=query, limit=200))

    def _group(self, group: views.GroupView | None) -> Handle:
        assert group is not None  # a graph and a map are answered with their group
        return Handle(self, group.id)

    def _spec(self, fields: Mapping[str, Any]) -> requests.TaskSpec:
        return _valid(requests.TaskSpec, fields)

    async def _name(self, function: str | Callable[..., Any]) -> str:
        """The name of a function object, whose module becomes known as a source on its first use."""
        if isinstance(function, str):
            return function
        module = sys.modules.get(function.__module__)
        file = getattr(module, "__file__", None)
        name: str = getattr(function, "__name__", "")
        if file is None or "." in function.__qualname__:
            raise InvalidRequest(
                f"{function.__qualname__} is not a function of a module.",
                hint="Put it at the top level of a file: workers import it from there.",
            )
        source, prefix = _source(function.__module__, file)
        self._caller = await self._know(source)
        return f"{prefix}.{name}"


def _valid(model: type[M], fields: Mapping[str, Any]) -> M:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'request'}: {one['msg']}" for one in error.errors()[:5])
        raise InvalidRequest(f"{told}.") from None


def _source(module: str, file: str) -> tuple[str, str]:
    """What a worker imports to have the module, and what the module is called there: a program's own file is named
    by its path, anything else can be imported by its name."""
    if module == "__main__":
        return str(Path(file).resolve()), Path(file).stem
    return module, module


def _own_paths() -> set[str]:
    """Where Python keeps itself: a worker of the same interpreter has these anyway."""
    return {entry for entry in sys.path if entry.startswith((sys.prefix, sys.base_prefix))}


@asynccontextmanager
async def _engine_here(home: Home, lock: EngineLock, captured: dict[str, Any], name: str) -> AsyncGenerator[Scheduler]:
    from mcp_scheduler.app import attend  # noqa: PLC0415 - clients of another engine do not need it
    from mcp_scheduler.engine import Engine  # noqa: PLC0415
    from mcp_scheduler.server.tools import Toolbox  # noqa: PLC0415

    async with await Engine.open(home, lock, embedded=True) as engine:
        sources: list[str] = list(captured["functions"])

        async def know(source: str = "") -> Caller:
            if source and source not in sources:
                sources.append(source)
            told: dict[str, Any] = {**captured, "functions": sources}
            key = environment_key(told)
            engine.service.know(
                Environment(key, told["python"], told["cwd"], tuple(told["path"]), tuple(sources), told["variables"])
            )
            return Caller(principal=name, environment=key, client="python", any_command=True)

        doors = await attend(engine, home, Toolbox(engine.service), embedded=True)
        try:
            yield Scheduler(engine.service, await know(), know)
        finally:
            await doors.close()


@asynccontextmanager
async def _client(home: Home, captured: dict[str, Any], name: str) -> AsyncGenerator[Scheduler]:
    from mcp_scheduler.remote import RemoteService  # noqa: PLC0415 - an engine of one's own does not need it

    hello = make_hello("owner", client="python", principal=name, any_command=True, environment=captured)
    async with RemoteService(home, hello) as service:
        caller = Caller(principal=name)  # the engine knows the rest from the door

        async def know(source: str) -> Caller:
            if source not in captured["functions"]:
                captured["functions"] = [*captured["functions"], source]
                await service.reopen(captured)
            return caller

        yield Scheduler(service, caller, know)
