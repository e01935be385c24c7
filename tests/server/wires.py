"""Raw lines to a session over a real socket: what a relay sends and gets."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

from mcp_scheduler.ports import Environment
from mcp_scheduler.server.hello import Door, Grant

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
}


class RawClient:
    """Sends lines, collects answers by id."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, era: str) -> None:
        self._reader, self._writer, self._era = reader, writer, era
        self.seen: list[dict[str, Any]] = []

    async def __aenter__(self) -> Self:
        if self._era == "legacy":
            info = {"name": "raw", "version": "1"}
            self.request(
                "initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info}, ident="init"
            )
            await self.answer("init")
            self.send_line({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    def raw(self, line: bytes) -> None:
        self._writer.write(line + b"\n")

    def send_line(self, message: dict[str, Any]) -> None:
        self.raw(json.dumps(message).encode())

    def request(self, method: str, params: dict[str, Any], ident: Any = 1) -> None:
        if self._era == "modern":
            params = {**params, "_meta": META | params.get("_meta", {})}
        self.send_line({"jsonrpc": "2.0", "id": ident, "method": method, "params": params})

    def call(self, name: str, arguments: dict[str, Any], ident: Any = 1, **params: Any) -> None:
        self.request("tools/call", {"name": name, "arguments": arguments, **params}, ident)

    def half_close(self) -> None:
        self._writer.write_eof()

    async def line(self) -> dict[str, Any] | None:
        async with asyncio.timeout(10):
            line = await self._reader.readline()
        return json.loads(line) if line else None

    async def answer(self, ident: Any) -> dict[str, Any]:
        """The answer to that request; everything else that comes meanwhile is in `seen`."""
        while True:
            message = await self.line()
            assert message is not None, "the connection ended without an answer"
            if message.get("id") == ident and ("result" in message or "error" in message):
                return message
            self.seen.append(message)

    async def text(self, ident: Any) -> str:
        return (await self.answer(ident))["result"]["content"][0]["text"]


Serve = Callable[[Door], Awaitable[None]]


@asynccontextmanager
async def connection(serve: Serve, era: str = "modern", **fields: Any) -> AsyncGenerator[RawClient]:
    """A door served by `serve` at one end of a socket pair, a raw client at the other."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=theirs)
    known: dict[str, Any] = {
        "id": "d1",
        "speak": "mcp",
        "version": "0.1.0",
        "principal": "",
        "client": "",
        "grant": Grant(),
        "environment": Environment("e1", "/usr/bin/python3", "/"),
        "resumed": False,
        "attempt": "",
        "pid": 1,
    }
    door = Door(**(known | fields), reader=reader, writer=writer)
    serving = asyncio.create_task(_keep(serve, door))
    client_reader, client_writer = await asyncio.open_connection(sock=ours, limit=64 * 1024 * 1024)
    try:
        async with RawClient(client_reader, client_writer, era) as client:
            client.serving = serving
            yield client
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        client_writer.close()


async def _keep(serve: Serve, door: Door) -> None:
    try:
        await serve(door)
    finally:
        door.writer.close()
