"""The service of an engine in another process, with the same methods as the service itself: JSON-RPC over its socket.

When that engine ends, the calls under way go on with the next one; a changing call is recognised there by door and
number, so nothing is done twice. When it gives no sign of life, they fail and name its process.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Self

from pydantic import BaseModel, TypeAdapter

from mcp_scheduler import plans, requests, views
from mcp_scheduler.door import Opening, open_door
from mcp_scheduler.errors import Unavailable
from mcp_scheduler.home import DoorError, Home
from mcp_scheduler.owner import to_error
from mcp_scheduler.requests import Caller
from mcp_scheduler.vigil import QUESTION, Vigil, mend, why

_LINE_LIMIT = 64 * 1024 * 1024
_LIVES = 3  # engines that may end during one call


class RemoteService:
    """A door of its own to the home's engine, which is started where none runs."""

    def __init__(self, home: Home, hello: Mapping[str, Any], vigil: Vigil | None = None) -> None:
        """`vigil` says how long the engine may be silent, then, without a sign of life."""
        self._vigil = vigil or Vigil()
        self._look: asyncio.TimerHandle | None = None
        self._pid = 0
        self._home = home
        self._hello = dict(hello)
        self._number = 0
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._progress: dict[int, Callable[[str], None]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._look is not None:
            self._look.cancel()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()

    async def reopen(self, environment: Mapping[str, Any]) -> None:
        """Come back through a new door, with this environment: what is under way goes on through it."""
        self._hello["environment"] = dict(environment)
        self._hello["door"] = os.urandom(16).hex()
        if self._writer is not None:
            self._writer.close()
        await self._open()

    async def call(self, method: str, params: Mapping[str, Any], progress: Callable[[str], None] | None = None) -> Any:
        """The JSON that `method` answers with. Errors as in the service itself."""
        self._number += 1
        number = self._number
        line = json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode() + b"\n"
        if progress is not None:
            self._progress[number] = progress
        try:
            for _ in range(_LIVES):
                try:
                    return await self._exchange(number, line)
                except ConnectionError:
                    self._hello["resumed"] = True
        finally:
            self._progress.pop(number, None)
            self._answers.pop(number, None)
        raise Unavailable(f"The engine ended {_LIVES} times during {method}.", hint=f"Look at {self._home.log_file}.")

    async def _exchange(self, number: int, line: bytes) -> Any:
        writer = await self._open()
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        writer.write(line)
        if self._look is None:
            self._keep_vigil()
        return await answer

    def _keep_vigil(self) -> None:
        """Look now and then, while somebody waits, whether the engine lives."""
        self._look, now = None, time.monotonic()
        waiting = [answer for answer in self._answers.values() if not answer.done()]
        match self._vigil.step(now, bool(waiting)):
            case "ask" if self._writer is not None:
                self._writer.write(QUESTION)
            case "give up":
                for answer in waiting:
                    hint = f"What was asked may still be done. {mend(self._pid)}"
                    answer.set_exception(Unavailable(why(self._pid, self._vigil.limit), hint=hint))
                waiting.clear()
            case _:
                pass
        if waiting:
            left = self._vigil.patience(now) or 0.0
            self._look = asyncio.get_running_loop().call_later(left, self._keep_vigil)

    async def _open(self) -> asyncio.StreamWriter:
        async with self._opening:
            if self._writer is None or self._writer.is_closing():
                opening = Opening(self._home, self._hello)
                try:
                    connection = await asyncio.to_thread(open_door, opening)
                except DoorError as error:
                    raise to_error(error.code, error.message, error.hint) from None
                finally:
                    opening.close()
                self._pid = int(connection.engine.get("pid", 0))
                self._vigil.heard()
                reader, self._writer = await asyncio.open_unix_connection(sock=connection.socket, limit=_LINE_LIMIT)
                self._reading = asyncio.create_task(self._read(reader, self._writer), name="engine's answers")
            return self._writer

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                self._told(json.loads(line))
        except ConnectionError:
            pass  # told to every waiting call below
        finally:
            writer.close()
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(ConnectionResetError("the engine ended"))

    def _told(self, message: dict[str, Any]) -> None:
        self._vigil.heard()
        if message.get("method") == "progress":
            params: dict[str, Any] = message.get("params", {})
            listener = self._progress.get(params.get("id", 0))
            if listener is not None:
                listener(str(params.get("text", "")))
            return
        answer = self._answers.get(message.get("id", 0))
        if answer is None or answer.done():
            return  # its caller has stopped waiting
        error: dict[str, Any] | None = message.get("error")
        if error is None:
            answer.set_result(message.get("result"))
        else:
            facts: dict[str, Any] = error.get("data") or {}
            answer.set_exception(
                to_error(str(facts.get("code", "error")), str(error.get("message", "")), str(facts.get("hint", "")))
            )

    # --- the service's methods; `caller` is known to the engine from the door

    async def submit(self, _caller: Caller, request: requests.TaskSpec) -> views.Submitted:
        return _SUBMITTED.validate_python(await self.call("submit", _plain(request)))

    async def submit_many(self, _caller: Caller, request: requests.SubmitMany) -> views.Accepted:
        return _ACCEPTED.validate_python(await self.call("submit_many", _plain(request)))

    async def gather(self, _caller: Caller, request: requests.Gather) -> tuple[views.Return, ...]:
        return _RETURNS.validate_python(await self.call("gather", _plain(request)))

    async def submit_graph(self, _caller: Caller, request: requests.SubmitGraph) -> views.Submitted:
        return _SUBMITTED.validate_python(await self.call("submit_graph", _plain(request)))

    async def submit_map(self, _caller: Caller, request: requests.MapTask) -> views.Submitted:
        return _SUBMITTED.validate_python(await self.call("submit_map", _plain(request)))

    async def wait(
        self, _caller: Caller, request: requests.Wait, progress: Callable[[str], None] | None = None
    ) -> views.WaitReport:
        found: dict[str, Any] = {"done": [], "groups": [], "waiting": [], "cursor": "", "complete": False}
        return _WAITED.validate_python(found | await self.call("wait", _plain(request), progress))

    async def get(self, _caller: Caller, request: requests.GetTask) -> views.TaskView | views.GroupView:
        found = await self.call("get", _plain(request))
        return _GROUP.validate_python(found) if "kind" in found else _TASK.validate_python(found)

    async def list(self, _caller: Caller, request: requests.ListTasks) -> views.TaskPage:
        found: dict[str, Any] = {"tasks": [], "cursor": "", "counts": {}}
        return _PAGE.validate_python(found | await self.call("list", _plain(request)))

    async def read(self, _caller: Caller, request: requests.ReadOutput) -> views.OutputPage:
        found: dict[str, Any] = {"text": "", "next_offset": None}
        return _OUTPUT.validate_python(found | await self.call("read", _plain(request)))

    async def result(self, _caller: Caller, id: str) -> Any:  # noqa: A002 - the word of every door
        return await self.call("result", {"id": id})

    async def cancel(self, _caller: Caller, request: requests.Cancel) -> views.Changed:
        return _CHANGED.validate_python({"changed": [], "unchanged": {}} | await self.call("cancel", _plain(request)))

    async def update(self, _caller: Caller, request: requests.Update) -> views.Changed:
        return _CHANGED.validate_python({"changed": [], "unchanged": {}} | await self.call("update", _plain(request)))

    async def policy(self, _caller: Caller, request: requests.ChoosePolicy) -> views.PolicyView:
        return _POLICY.validate_python({"choices": {}} | await self.call("policy", _plain(request)))

    async def explain(self, _caller: Caller, request: requests.GetTask) -> views.ExplanationView:
        return _EXPLANATION.validate_python({"why": ""} | await self.call("explain", _plain(request)))

    async def forecasts(self, _caller: Caller, request: requests.AskForecasts) -> views.ForecastPage:
        found: dict[str, Any] = {"forecasts": []}
        return _FORECASTS.validate_python(found | await self.call("forecasts", _plain(request)))

    async def plan(self, _caller: Caller, request: requests.PlanTasks) -> plans.PlanView:
        return _PLAN.validate_python(await self.call("plan", _plain(request)))

    async def pause(self, _caller: Caller) -> views.QueueView:
        return _QUEUE.validate_python(await self.call("pause", {}))

    async def resume(self, _caller: Caller) -> views.QueueView:
        return _QUEUE.validate_python(await self.call("resume", {}))

    async def load(self, _caller: Caller) -> views.LoadView:
        return _LOAD.validate_python({"nodes": [], "counts": {}} | await self.call("load", {}))

    async def functions(self, _caller: Caller, request: requests.ListFunctions) -> views.FunctionPage:
        return _FUNCTIONS.validate_python({"functions": []} | await self.call("functions", _plain(request)))


_SUBMITTED = TypeAdapter(views.Submitted)
_ACCEPTED = TypeAdapter(views.Accepted)
_RETURNS = TypeAdapter(tuple[views.Return, ...])
_WAITED = TypeAdapter(views.WaitReport)
_GROUP = TypeAdapter(views.GroupView)
_TASK = TypeAdapter(views.TaskView)
_PAGE = TypeAdapter(views.TaskPage)
_OUTPUT = TypeAdapter(views.OutputPage)
_CHANGED = TypeAdapter(views.Changed)
_POLICY = TypeAdapter(views.PolicyView)
_EXPLANATION = TypeAdapter(views.ExplanationView)
_FORECASTS = TypeAdapter(views.ForecastPage)
_PLAN = TypeAdapter(plans.PlanView)
_QUEUE = TypeAdapter(views.QueueView)
_LOAD = TypeAdapter(views.LoadView)
_FUNCTIONS = TypeAdapter(views.FunctionPage)


def _plain(request: BaseModel) -> dict[str, Any]:
    return request.model_dump(mode="json", exclude_unset=True)
