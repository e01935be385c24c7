"""A small service in memory that keeps the contract of the real one: for tests of the doors alone."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mcp_scheduler import plans, requests, views
from mcp_scheduler.core.ids import slug
from mcp_scheduler.core.states import FINAL, State
from mcp_scheduler.errors import DuplicateKey, UnknownFunction, UnknownTask
from mcp_scheduler.ports import Environment
from mcp_scheduler.requests import Caller

NOW = 1_800_000_000.0


def numbered(name: str, number: int) -> str:
    """An id as the scheduler makes them, but foreseeable."""
    return f"{slug(name)}-{number:08d}"


class StoppedClock:
    def __init__(self, now: float = NOW) -> None:
        self.at = now

    def now(self) -> float:
        return self.at


class ServiceDouble:
    """Tasks stay queued until the test ends them with `end`."""

    def __init__(self) -> None:
        self.clock = StoppedClock()
        self.tasks: dict[str, views.TaskView] = {}
        self.groups: dict[str, views.GroupView] = {}
        self.outputs: dict[tuple[str, str], str] = {}
        self.environments: list[Environment] = []
        self.callers: list[Caller] = []
        self.waits: list[requests.Wait] = []
        self.remembered: dict[tuple[str, str], views.Submitted] = {}
        self.keys: dict[tuple[str, str], str] = {}
        self.raises: BaseException | None = None
        self.stopped: list[bool] = []
        self.asked = asyncio.Event()
        self.waiting = asyncio.Event()
        self.over = asyncio.Event()
        self._ended = asyncio.Event()

    def end(self, ident: str, *, result: Any = None, error: str = "") -> None:
        state = State.FAILED if error else State.SUCCEEDED
        size = 0 if result is None else len(json.dumps(result))
        self.tasks[ident] = replace(
            self.tasks[ident],
            state=state,
            why="",
            error=error,
            reason="error" if error else None,
            seconds=1.5,
            result=result if size <= 1024 else None,
            has_result=result is not None,
            result_size=size,
        )
        self.outputs[ident, "result"] = json.dumps(result)
        self._ended.set()
        self._ended = asyncio.Event()

    def know(self, environment: Environment) -> None:
        self.environments.append(environment)

    async def submit(self, caller: Caller, request: requests.TaskSpec) -> views.Submitted:
        self._note(caller)
        if known := self._again(caller):
            return known
        if request.function is not None and not request.function.startswith("tools."):
            raise UnknownFunction(f"There is no function {request.function!r}.")
        if request.idempotency_key and (ident := self.keys.get((caller.principal, request.idempotency_key))):
            if self.tasks[ident].name != (request.name or ""):
                raise DuplicateKey("The key was used for another task.")
            return views.Submitted((replace(self.tasks[ident], duplicate=True),))
        task = self._new(caller, request)
        if request.idempotency_key:
            self.keys[caller.principal, request.idempotency_key] = task.id
        return self._remember(caller, views.Submitted((task,)))

    async def submit_many(self, caller: Caller, request: requests.SubmitMany) -> views.Submitted:
        self._note(caller)
        return views.Submitted(tuple(self._new(caller, spec) for spec in request.tasks))

    async def submit_graph(self, caller: Caller, request: requests.SubmitGraph) -> views.Submitted:
        self._note(caller)
        if known := self._again(caller):
            return known
        made = {key: self._new(caller, spec, "graph").id for key, spec in request.tasks.items()}
        return self._remember(caller, views.Submitted(group=self._group(caller, "graph", made)))

    async def submit_map(self, caller: Caller, request: requests.MapTask) -> views.Submitted:
        self._note(caller)
        items = request.over.items or [0]
        made = {str(index): self._new(caller, request.task, "map").id for index, _ in enumerate(items)}
        return views.Submitted(group=replace(self._group(caller, "map", made), keys=None))

    async def wait(
        self, caller: Caller, request: requests.Wait, progress: Callable[[str], None] | None = None
    ) -> views.WaitReport:
        self._note(caller)
        self.waits.append(request)
        self.waiting.set()
        found = [self._find(ident) for ident in request.ids]
        until = None if request.timeout is None else asyncio.get_running_loop().time() + request.timeout
        while True:
            found = [self.tasks[task.id] for task in found]
            done = tuple(task for task in found if task.state in FINAL)
            waiting = tuple(task for task in found if task.state not in FINAL)
            complete = not waiting or (request.mode != "all" and bool(done))
            if complete or (until is not None and asyncio.get_running_loop().time() >= until):
                return views.WaitReport(
                    done, (), waiting, len(waiting), complete, f"c{len(done)}", None if complete else 5.0
                )
            if progress is not None:
                progress(f"{len(done)} of {len(found)} done")
            try:
                async with asyncio.timeout_at(until):
                    await self._ended.wait()
            except TimeoutError:
                pass

    async def get(self, caller: Caller, request: requests.GetTask) -> views.TaskView | views.GroupView:
        self._note(caller)
        return self.groups.get(request.id) or self._find(request.id)

    async def list(self, caller: Caller, request: requests.ListTasks) -> views.TaskPage:
        self._note(caller)
        found = [task for task in reversed(self.tasks.values()) if not request.states or task.state in request.states]
        first = int(request.cursor or 0)
        page = found[first : first + request.limit]
        cursor = str(first + request.limit) if first + request.limit < len(found) else ""
        return views.TaskPage(tuple(page), cursor, dict(Counter(task.state for task in found)))

    async def read(self, caller: Caller, request: requests.ReadOutput) -> views.OutputPage:
        self._note(caller)
        self._find(request.id)
        whole = self.outputs.get((request.id, request.what), "")
        piece = whole[request.offset : request.offset + request.limit]
        end = request.offset + len(piece)
        return views.OutputPage(
            request.id, request.what, 1, piece, request.offset, len(whole), end if end < len(whole) else None
        )

    async def result(self, caller: Caller, id: str) -> Any:  # noqa: A002
        self._note(caller)
        return json.loads(self.outputs[self._find(id).id, "result"])

    async def cancel(self, caller: Caller, request: requests.Cancel) -> views.Changed:
        self._note(caller)
        changed: list[views.TaskView] = []
        unchanged: dict[str, str] = {}
        for ident in request.ids:
            task = self._find(ident)
            if task.state in FINAL:
                unchanged[ident] = f"It has {task.state} already."
            else:
                self.tasks[ident] = replace(task, state=State.CANCELLED)
                changed.append(self.tasks[ident])
        return views.Changed(tuple(changed), unchanged, len(changed))

    async def update(self, caller: Caller, request: requests.Update) -> views.Changed:
        self._note(caller)
        found = [self._find(ident) for ident in request.ids]
        unchanged = {task.id: f"It has {task.state} already." for task in found if task.state in FINAL}
        changed = tuple(task for task in found if task.id not in unchanged)
        return views.Changed(changed, unchanged, len(changed))

    async def load(self, caller: Caller) -> views.LoadView:
        self._note(caller)
        node = views.NodeView("local", {"cpus": 2.0, "memory": 8.0 * 2**30}, {"cpus": 1.0}, {"cpu": 12.345}, 1)
        return views.LoadView((node,), {"running": 1}, (), "balanced")

    async def plan(self, caller: Caller, request: requests.PlanTasks) -> plans.PlanView:
        self._note(caller)
        names = list(request.tasks or self.tasks)
        page = names[request.offset : request.offset + request.limit]
        end = request.offset + len(page)
        rows = [plans.PlannedView(name, 0.0, 1.5, "local", assumed=True) for name in page]
        outcomes = [
            plans.OutcomeView(policy, len(names), 0, 1.5, 1.5, 0.0, {"cpus": 0.5})
            for policy in request.policies or ["balanced"]
        ]
        notes = ("Of 1 the time is assumed: nothing like them has ended yet.",)
        more = end if end < len(names) else None
        view = plans.PlanView(tuple(outcomes), tuple(rows), len(names), more, notes=notes)
        if set(request.objectives) <= {"makespan"}:
            return view
        where = {"local fast": ("a",), "local slow": tuple(f"b{number}" for number in range(len(names) - 1))}
        points = (
            plans.PointView("nsga2", 1.5, 18.04, 0.5, "plan-a", where),
            plans.PointView("fifo", 2.0, 12.0, 0.4, where={"local slow": tuple("abcdefghijklm")}),
        )
        return replace(view, front=points, by="pymoo")

    async def forecasts(self, caller: Caller, request: requests.AskForecasts) -> views.ForecastPage:
        self._note(caller)
        view = views.ForecastView("tools.add", "seconds", 12, 1.5, 3.0, "recent", coverage=0.9, predictions=11)
        return views.ForecastPage((view,) if request.name in (None, view.name) else ())

    async def past_load(self, caller: Caller) -> views.LoadPast:
        self._note(caller)
        return views.LoadPast((views.LoadSeries("cpu", 5.0, (1.0, 2.0), 3.0, 60.0, 0.5),))

    async def functions(self, caller: Caller, request: requests.ListFunctions) -> views.FunctionPage:
        self._note(caller)
        schema = {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "number", "default": 2}},
            "required": ["a"],
        }
        if request.query and request.query not in "tools.add":
            return views.FunctionPage((), 0)
        return views.FunctionPage((views.FunctionView("tools.add", "Add two numbers.", schema, {"retry": 3}),), 1)

    async def status(self, caller: Caller) -> views.EngineView:
        self._note(caller)
        return views.EngineView(1, "0.1.0", "3.11", "/home", NOW, 1, {}, 4096, 1)

    async def stop(self, caller: Caller, *, force: bool = False) -> None:
        self.stopped.append(force)
        self.over.set()

    def _note(self, caller: Caller) -> None:
        self.callers.append(caller)
        self.asked.set()
        if self.raises is not None:
            raise self.raises

    def _again(self, caller: Caller) -> views.Submitted | None:
        return self.remembered.get((caller.door, caller.request)) if caller.resumed else None

    def _remember(self, caller: Caller, submitted: views.Submitted) -> views.Submitted:
        if caller.door and caller.request:
            self.remembered[caller.door, caller.request] = submitted
        return submitted

    def _new(self, caller: Caller, spec: requests.TaskSpec, group: str = "") -> views.TaskView:
        name = spec.name or (spec.function or "command").rpartition(".")[2]
        task = views.TaskView(
            id=numbered(name, len(self.tasks) + 1),
            state=State.QUEUED,
            call=spec.function or str(spec.command),
            submitted_at=self.clock.now() - 12,
            name=spec.name or "",
            group=group,
            principal=caller.principal,
            tags=tuple(spec.tags),
            why="Waits for 1 cpu; 3 tasks are ahead of it.",
        )
        self.tasks[task.id] = task
        return task

    def _group(self, caller: Caller, kind: str, made: dict[str, str]) -> views.GroupView:
        ident = numbered(kind, 1000 + len(self.groups))
        group = views.GroupView(
            ident, kind, "", caller.principal, self.clock.now(), len(made), {"queued": len(made)}, "running", keys=made
        )
        self.groups[ident] = group
        return group

    def _find(self, ident: str) -> views.TaskView:
        if ident not in self.tasks:
            raise UnknownTask(f"There is no task {ident[:60]!r}.")
        return self.tasks[ident]
