"""The owner protocol: JSON-RPC 2.0 lines for the CLI and the Python client. A method is a use case of the service.

`{"jsonrpc":"2.0","id":1,"method":"get","params":{"id":"x"}}` → `{"jsonrpc":"2.0","id":1,"result":{…}}`, or an `error`
with code -32000, the message, and `data` = {code, hint, facts} of the scheduler's error. Requests of one connection
are served at the same time. A `wait` sends `progress` notifications.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, cast

from pydantic import BaseModel

from mcp_scheduler import requests
from mcp_scheduler.errors import InvalidRequest, TooLarge
from mcp_scheduler.requests import Caller
from mcp_scheduler.server.callers import Guest, request_key
from mcp_scheduler.server.complaints import nearest, read
from mcp_scheduler.server.failures import failure_of, is_our_end
from mcp_scheduler.server.hello import Door
from mcp_scheduler.server.salvage import request_of
from mcp_scheduler.server.service_port import SchedulerService
from mcp_scheduler.server.wire import LONGEST_LINE, SocketWire, Wire, lines_of
from mcp_scheduler.views import plain

FAILED: Final = -32000  # JSON-RPC: an error of the application
_LAST_ANSWERS: Final = 1.5  # seconds for what is under way when the client has closed its side
_MOST_IN_FLIGHT: Final = 1000

_log = logging.getLogger(__name__)

Method = Callable[[SchedulerService, Caller, Any, Callable[[str], None]], Awaitable[Any]]


class OneTask(requests.Request):
    """`result`."""

    id: str


class NoParameters(requests.Request):
    """`load`, `status`, `pause` and `resume`."""


class Stop(requests.Request):
    """`stop`. `force` cancels running work first; otherwise it goes on and the next engine adopts it."""

    force: bool = False


_METHODS: Final[Mapping[str, tuple[type[BaseModel], Method]]] = {
    "submit": (requests.TaskSpec, lambda service, caller, request, _: service.submit(caller, request)),
    "submit_many": (requests.SubmitMany, lambda service, caller, request, _: service.submit_many(caller, request)),
    "submit_graph": (requests.SubmitGraph, lambda service, caller, request, _: service.submit_graph(caller, request)),
    "submit_map": (requests.MapTask, lambda service, caller, request, _: service.submit_map(caller, request)),
    "gather": (requests.Gather, lambda service, caller, request, _: service.gather(caller, request)),
    "wait": (requests.Wait, lambda service, caller, request, told: service.wait(caller, request, told)),
    "get": (requests.GetTask, lambda service, caller, request, _: service.get(caller, request)),
    "list": (requests.ListTasks, lambda service, caller, request, _: service.list(caller, request)),
    "read": (requests.ReadOutput, lambda service, caller, request, _: service.read(caller, request)),
    "result": (OneTask, lambda service, caller, request, _: service.result(caller, request.id)),
    "cancel": (requests.Cancel, lambda service, caller, request, _: service.cancel(caller, request)),
    "update": (requests.Update, lambda service, caller, request, _: service.update(caller, request)),
    "drain": (requests.Drain, lambda service, caller, request, _: service.drain(caller, request)),
    "undrain": (requests.Undrain, lambda service, caller, request, _: service.undrain(caller, request)),
    "policy": (requests.ChoosePolicy, lambda service, caller, request, _: service.policy(caller, request)),
    "explain": (requests.GetTask, lambda service, caller, request, _: service.explain(caller, request)),
    "pause": (NoParameters, lambda service, caller, _request, _: service.pause(caller)),
    "resume": (NoParameters, lambda service, caller, _request, _: service.resume(caller)),
    "plan": (requests.PlanTasks, lambda service, caller, request, _: service.plan(caller, request)),
    "load": (NoParameters, lambda service, caller, _request, _: service.load(caller)),
    "forecasts": (requests.AskForecasts, lambda service, caller, request, _: service.forecasts(caller, request)),
    "past_load": (NoParameters, lambda service, caller, _request, _: service.past_load(caller)),
    "functions": (requests.ListFunctions, lambda service, caller, request, _: service.functions(caller, request)),
    "status": (NoParameters, lambda service, caller, _request, _: service.status(caller)),
}


async def serve_owner(door: Door, service: SchedulerService) -> None:
    """Serve the door's client until it leaves."""
    service.know(door.environment)
    await OwnerSession(SocketWire(door.reader, door.writer), service, Guest.at(door)).run()


class OwnerSession:
    """One connection that speaks the owner protocol."""

    def __init__(self, wire: Wire, service: SchedulerService, guest: Guest) -> None:
        self._wire = wire
        self._service = service
        self._guest = guest
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until the client has closed its side and what is under way is answered, or a moment has passed."""
        try:
            async for line in lines_of(self._wire):
                while len(self._under_way) >= _MOST_IN_FLIGHT:
                    await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
                request = asyncio.create_task(self._serve(line))
                self._under_way.add(request)
                request.add_done_callback(self._under_way.discard)
            if self._under_way:
                await asyncio.wait(self._under_way, timeout=_LAST_ANSWERS)
        finally:
            left = list(self._under_way)
            for request in left:
                request.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _serve(self, line: bytes | None) -> None:
        """Answer one line; whatever happens, it is answered."""
        ident: int | str | None = None
        name = "the request"
        try:
            ident, name, params = _request(line)
            if name == "stop":
                await self._stop(ident, params)
                return
            answer = {"result": plain(await self._call(ident, name, params, line or b""))}
        except BaseException as error:  # SystemExit too: no request stays unanswered
            if is_our_end(error):
                raise
            if ident is None and line is not None:
                ident, _ = request_of(line)
            failure = failure_of(error, name)
            told = {"code": failure.code, "hint": failure.hint, "facts": failure.facts}
            answer = {"error": {"code": FAILED, "message": failure.message, "data": told}}
        await self._send({"jsonrpc": "2.0", "id": ident, **answer})

    async def _call(self, ident: int | str, name: str, params: Any, line: bytes) -> Any:
        known = _METHODS.get(name)
        if known is None:
            close = nearest(name, [*_METHODS, "stop"])
            raise InvalidRequest(f"There is no method {name!r}.", hint=f"Did you mean {close}?" if close else "")
        model, method = known
        request = read(model, params, name)
        caller = self._guest.caller(request=request_key(ident, line))
        return await method(self._service, caller, request, lambda text: self._tell(ident, text))

    async def _stop(self, ident: int | str, params: Any) -> None:
        """The answer goes first: afterwards there is no engine to send it."""
        request = read(Stop, params, "stop")
        await self._send({"jsonrpc": "2.0", "id": ident, "result": {"stopping": True}})
        await self._service.stop(self._guest.caller(), force=request.force)

    def _tell(self, ident: int | str, text: str) -> None:
        """Progress goes out by itself: the service does not wait for a slow client."""
        note = asyncio.create_task(
            self._send({"jsonrpc": "2.0", "method": "progress", "params": {"id": ident, "text": text}})
        )
        self._under_way.add(note)
        note.add_done_callback(self._under_way.discard)

    async def _send(self, message: dict[str, Any]) -> None:
        text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        try:
            await self._wire.write(text.encode("utf-8", "replace") + b"\n")
        except OSError:
            _log.debug("A client left before it had its answer.")


def _request(line: bytes | None) -> tuple[int | str, str, Any]:
    if line is None:
        raise TooLarge(f"A message has at most {LONGEST_LINE} bytes.")
    try:
        message: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise InvalidRequest("This line is no JSON.") from None
    if not isinstance(message, dict):
        raise InvalidRequest("A request is a JSON object.")
    fields = cast("dict[str, Any]", message)
    ident, name = fields.get("id"), fields.get("method")
    if isinstance(ident, bool) or not isinstance(ident, (int, str)) or not isinstance(name, str):
        raise InvalidRequest("A request has an id (number or text) and a method.")
    return ident, name, fields.get("params") or {}
