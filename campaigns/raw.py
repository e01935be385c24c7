"""A client without any SDK in front of it: one connection to an engine's socket, on which anything can be sent."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from mcp_scheduler.hello import make_hello
from mcp_scheduler.home import Home

LINE = 64 * 1024 * 1024  # bytes of the longest answer
_MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
}
_OLD = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}


def request(era: str, ident: Any, method: str, params: dict[str, Any]) -> bytes:
    """The line of a request. `era` is "modern" or "legacy"."""
    if era == "modern":
        params = {**params, "_meta": _MODERN}
    return json.dumps({"jsonrpc": "2.0", "id": ident, "method": method, "params": params}).encode() + b"\n"


class Door:
    """`answers` has what was answered, by the JSON text of the request's id; `nameless` what was meant for nobody."""

    def __init__(self, era: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.era = era
        self.answers: dict[str, dict[str, Any]] = {}
        self.nameless: list[dict[str, Any]] = []
        self.is_open = True
        self._reader, self._writer = reader, writer
        self._news = asyncio.Event()

    def request(self, ident: Any, method: str, params: dict[str, Any]) -> bytes:
        """The line of a request in this door's era."""
        return request(self.era, ident, method, params)

    def send(self, line: bytes) -> None:
        self._writer.write(line)

    async def flush(self) -> None:
        await self._writer.drain()

    async def answer(self, ident: Any, limit: float) -> dict[str, Any] | None:
        """What the request of this id was answered with; None after `limit` seconds."""
        key = json.dumps(ident)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while key not in self.answers and self.is_open:
                    self._news.clear()
                    await self._news.wait()
        return self.answers.get(key)

    async def call(self, ident: Any, tool: str, arguments: dict[str, Any], limit: float) -> dict[str, Any] | None:
        """The structured answer of a tool, None if there was none or it was an error."""
        self.send(self.request(ident, "tools/call", {"name": tool, "arguments": arguments}))
        answer = await self.answer(ident, limit)
        return (answer or {}).get("result", {}).get("structuredContent")

    async def listen(self) -> None:
        """Until the other side closes."""
        while line := await self._reader.readline():
            message = json.loads(line)
            if "method" not in message and message.get("id") is not None:
                self.answers[json.dumps(message["id"])] = message
            else:
                self.nameless.append(message)
            self._news.set()
        self.is_open = False
        self._news.set()

    def close(self) -> None:
        self._writer.close()


@contextlib.asynccontextmanager
async def door(home: str, era: str, environment: dict[str, Any] | None = None) -> AsyncIterator[Door]:
    """Open one to the engine that runs in `home`. `era` is "modern" or "legacy"."""
    reader, writer = await asyncio.open_unix_connection(Home(home).engine_address(), limit=LINE)
    writer.write(json.dumps(make_hello("mcp", client="raw", environment=environment)).encode() + b"\n")
    welcome = json.loads(await reader.readline())
    assert "error" not in welcome, welcome
    made = Door(era, reader, writer)
    listening = asyncio.create_task(made.listen())
    try:
        if era == "legacy":
            made.send(made.request("hello", "initialize", _OLD))
            await made.answer("hello", 30)
            made.send(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        yield made
    finally:
        made.close()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
