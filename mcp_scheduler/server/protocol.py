"""The MCP server: tools, resources and prompts in the types of the MCP SDK. The SDK takes a second to import, so this
module is imported late (`server.session`), never at the top of another."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Generator, Mapping
from typing import Any, Final

import anyio
import mcp_types as types
from mcp.server import CacheHint, Server, ServerRequestContext
from mcp.shared.exceptions import MCPError

from mcp_scheduler._version import __version__
from mcp_scheduler.requests import Caller
from mcp_scheduler.server import descriptions, prompts, resources
from mcp_scheduler.server.failures import Failure, failure_of
from mcp_scheduler.server.replies import Reply
from mcp_scheduler.server.tools import TOOLS, Tool, Toolbox

Context = ServerRequestContext[Any, Any]
Who = Callable[[Context], Caller]

FAILURE_KEY: Final = "mcp-scheduler/failure"  # in _meta of a failed call: its code and facts, for programs
_DAY: Final = CacheHint(ttl_ms=86_400_000, scope="public")  # the same for everybody until the program changes
_COMPLETE: Final = {"resultType": "complete", "isError": False}
_TICK: Final = 1.0  # seconds between notes of progress


def make_server(toolbox: Toolbox, who: Who, *, resent: bool = False) -> Server[Any]:
    """The server of one connection, or of all HTTP requests. `who` tells who makes a request.

    `resent`: whoever is at the other end sends again, to the next engine, what this one leaves unanswered. A call
    that meets an engine about to stop is then left to the next one instead of failing.
    """
    server: Server[Any] = Server(
        "mcp-scheduler",
        version=__version__,
        title="Job scheduler",
        instructions=descriptions.INSTRUCTIONS,
        cache_hints={
            "tools/list": _DAY,
            "prompts/list": _DAY,
            "resources/list": _DAY,
            "resources/templates/list": _DAY,
            "server/discover": _DAY,
        },
        get_tool_input_schema=_takes,
    )
    server.middleware.clear()  # spans of OpenTelemetry: 20 µs a call, and nobody exports them
    desk = _Desk(toolbox, who, resent=resent)
    server.add_request_handler("tools/list", types.PaginatedRequestParams, desk.list_tools)
    server.add_request_handler("tools/call", types.CallToolRequestParams, desk.call_tool)
    server.add_request_handler("resources/list", types.PaginatedRequestParams, desk.list_resources)
    server.add_request_handler("resources/templates/list", types.PaginatedRequestParams, desk.list_templates)
    server.add_request_handler("resources/read", types.ReadResourceRequestParams, desk.read_resource)
    server.add_request_handler("prompts/list", types.PaginatedRequestParams, desk.list_prompts)
    server.add_request_handler("prompts/get", types.GetPromptRequestParams, desk.get_prompt)
    return server


class _Desk:
    """Answers requests. A failed tool call is a result with `isError`, for the model; errors of the protocol are for
    what the protocol itself forbids."""

    def __init__(self, toolbox: Toolbox, who: Who, *, resent: bool) -> None:
        self._toolbox = toolbox
        self._who = who
        self._resent = resent

    async def list_tools(self, _context: Context, _params: types.PaginatedRequestParams) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_told(tool) for tool in TOOLS.values()])

    async def call_tool(self, context: Context, params: types.CallToolRequestParams) -> dict[str, Any]:
        """The result as it goes out; the SDK checks it against the protocol's schema. (Its models of a result would be
        built only to be taken apart again.)"""
        caller = self._who(context)
        if params.name == "wait_for_tasks":
            progress = _Progress(context)
            with progress.told_each_second():
                outcome = await self._toolbox.answer(params.name, params.arguments, caller, progress.note)
        else:
            outcome = await self._toolbox.answer(params.name, params.arguments, caller)
        if isinstance(outcome, Reply):
            content = [{"type": "text", "text": outcome.text}]
            return _COMPLETE | {"content": content, "structuredContent": outcome.content}
        if self._resent and outcome.code == "shutting_down":
            await anyio.sleep_forever()  # until the connection ends
        return _failed(outcome)

    async def list_resources(
        self, _context: Context, _params: types.PaginatedRequestParams
    ) -> types.ListResourcesResult:
        return types.ListResourcesResult(resources=[])

    async def list_templates(
        self, _context: Context, _params: types.PaginatedRequestParams
    ) -> types.ListResourceTemplatesResult:
        templates = [
            types.ResourceTemplate(
                uri_template=one.template, name=one.name, description=one.description, mime_type=one.mime_type
            )
            for one in resources.TEMPLATES
        ]
        return types.ListResourceTemplatesResult(resource_templates=templates)

    async def read_resource(
        self, context: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        uri = str(params.uri)
        try:
            content = await resources.read_resource(self._toolbox, self._who(context), uri)
        except Exception as error:  # noqa: BLE001 - told to the client, or logged with its incident
            failure = failure_of(error, "resources/read")
            raise MCPError(types.INVALID_PARAMS, failure.text, {"uri": uri, "code": failure.code}) from None
        return types.ReadResourceResult(
            contents=[types.TextResourceContents(uri=uri, mime_type=content.mime_type, text=content.text)]
        )

    async def list_prompts(self, _context: Context, _params: types.PaginatedRequestParams) -> types.ListPromptsResult:
        told = [
            types.Prompt(
                name=prompt.name,
                description=prompt.description,
                arguments=[types.PromptArgument(name=prompt.argument, description=prompt.meaning, required=True)],
            )
            for prompt in prompts.PROMPTS.values()
        ]
        return types.ListPromptsResult(prompts=told)

    async def get_prompt(self, _context: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        prompt = prompts.PROMPTS.get(params.name)
        if prompt is None:
            raise MCPError(types.INVALID_PARAMS, f"There are the prompts {', '.join(prompts.PROMPTS)}.")
        given = (params.arguments or {}).get(prompt.argument, "")
        if not given.strip():
            raise MCPError(types.INVALID_PARAMS, f"{prompt.name} takes the argument {prompt.argument}.")
        message = types.PromptMessage(role="user", content=types.TextContent(type="text", text=prompt.text(given)))
        return types.GetPromptResult(description=prompt.description, messages=[message])


class _Progress:
    """The last word about a wait, told to the client each second (the SDK sends nothing if it did not ask for that).
    Most waits are shorter: for them a timer is all there is, and no task that has to be cancelled."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._text = "waiting"
        self._telling: asyncio.Task[None] | None = None

    def note(self, text: str) -> None:
        self._text = text

    @contextlib.contextmanager
    def told_each_second(self) -> Generator[None]:
        timer = asyncio.get_running_loop().call_later(_TICK, self._start)
        try:
            yield
        finally:
            timer.cancel()
            if self._telling is not None:
                self._telling.cancel()

    def _start(self) -> None:
        self._telling = asyncio.ensure_future(self._tell())

    async def _tell(self) -> None:
        seconds = 0.0
        with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):  # its connection ends the wait
            while True:
                seconds += _TICK
                await self._context.session.report_progress(seconds, None, self._text)
                await asyncio.sleep(_TICK)


def client_name(context: Context) -> str:
    """The name the client gives itself, "" if it gives none."""
    told = context.session.client_params
    return told.client_info.name if told is not None else ""


def _told(tool: Tool) -> types.Tool:
    nature = tool.nature
    hints: dict[str, bool] = {"readOnlyHint": nature.reads_only, "openWorldHint": nature.open_world}
    if not nature.reads_only:
        hints |= {"destructiveHint": nature.destroys, "idempotentHint": nature.idempotent}
    return types.Tool(
        name=tool.name,
        description=tool.description,
        input_schema=tool.takes,
        output_schema=tool.gives,
        annotations=types.ToolAnnotations.model_validate(hints),
    )


def _failed(failure: Failure) -> dict[str, Any]:
    return _COMPLETE | {
        "content": [{"type": "text", "text": failure.text}],
        "isError": True,
        "_meta": {FAILURE_KEY: {"code": failure.code}},
    }


def _takes(name: str) -> Mapping[str, Any] | None:
    tool = TOOLS.get(name)
    return tool.takes if tool is not None else None
