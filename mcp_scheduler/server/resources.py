"""Tasks and their outputs as MCP resources: `task://{id}` and `output://{id}/{stream}`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from mcp_scheduler import requests
from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.plaintext import plain_text
from mcp_scheduler.requests import Caller
from mcp_scheduler.server.answers import get_task
from mcp_scheduler.server.complaints import read
from mcp_scheduler.server.replies import compact
from mcp_scheduler.server.tools import Toolbox

_PAGE: Final = 65_536  # bytes of an output; read_output reads on


@dataclass(frozen=True, slots=True)
class Template:
    """A family of resources."""

    template: str
    name: str
    description: str
    mime_type: str


@dataclass(frozen=True, slots=True)
class Content:
    """What a resource holds now."""

    text: str
    mime_type: str


TEMPLATES: Final = (
    Template("task://{id}", "task", "A task or group: status, attempts, times, small result.", "application/json"),
    Template(
        "output://{id}/{stream}",
        "output",
        "What a task returned or printed (stream: result, stdout, stderr), the last 64 KiB of it.",
        "text/plain",
    ),
)


async def read_resource(toolbox: Toolbox, caller: Caller, uri: str) -> Content:
    """The resource of that address. Errors: `InvalidRequest` and what the service raises."""
    parts = urlsplit(uri)
    ident, stream = unquote(parts.netloc), unquote(parts.path.strip("/"))
    if parts.scheme == "task" and ident and not stream:
        reply = await get_task(toolbox.visit(caller), requests.GetTask(id=ident, detail=True))
        return Content(compact(reply.content), "application/json")
    if parts.scheme == "output" and ident and stream:
        request = read(requests.ReadOutput, {"id": ident, "what": stream, "tail": True, "limit": _PAGE}, uri)
        page = await toolbox.service.read(caller, request)
        return Content(plain_text(page.text), "text/plain")
    raise InvalidRequest(
        f"There is no resource {uri[:200]!r}.", hint="There are task://{id} and output://{id}/{stream}."
    )
