"""A client that is none: it says the first words of each protocol era, so that the SDK has built its models before a
real client says them."""

from __future__ import annotations

import json
from typing import Any, Final

from mcp_scheduler.server.wire import Wire

_INFO: Final = {"name": "rehearsal", "version": "0"}
_MODERN: Final = {
    "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": _INFO,
    }
}
_NO_TOOL: Final[dict[str, Any]] = {"name": "rehearsal", "arguments": {}}
_SCRIPTS: Final[tuple[tuple[tuple[str, dict[str, Any]], ...], ...]] = (
    (
        ("server/discover", _MODERN),
        ("tools/list", _MODERN),
        ("tools/call", _NO_TOOL | _MODERN),
    ),
    (
        ("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": _INFO}),
        ("tools/list", {}),
        ("tools/call", _NO_TOOL),
    ),
)


def scripts() -> list[Wire]:
    """A wire for each era. The tool that is called does not exist: no service is reached."""
    return [_Script(script) for script in _SCRIPTS]


class _Script:
    """A wire that gives the lines of a script and swallows the answers."""

    def __init__(self, script: tuple[tuple[str, dict[str, Any]], ...]) -> None:
        lines = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            for number, (method, params) in enumerate(script)
        ]
        self._rest = "".join(json.dumps(line) + "\n" for line in lines).encode()

    async def read(self) -> bytes:
        given, self._rest = self._rest, b""
        return given

    async def write(self, sent: bytes) -> None:
        """Nobody listens."""
