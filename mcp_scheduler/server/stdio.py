"""The standard streams as a door: an engine and its one client's MCP connection in the same process (`--embedded`)."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Mapping
from typing import Any, Final, Self

from mcp_scheduler.hello import environment_key
from mcp_scheduler.ports import Environment
from mcp_scheduler.server.callers import Guest
from mcp_scheduler.server.service_port import SchedulerService
from mcp_scheduler.server.session import serve_wire
from mcp_scheduler.server.tools import Toolbox

_CHUNK: Final = 64 * 1024


async def serve_stdio(toolbox: Toolbox, hello: Mapping[str, Any]) -> None:
    """Serve the client at the other end of stdin and stdout until it leaves. `hello` says what a relay would say."""
    guest = guest_of(toolbox.service, hello)
    with StandardStreams() as wire:
        await serve_wire(wire, toolbox, guest)


def guest_of(service: SchedulerService, hello: Mapping[str, Any]) -> Guest:
    """Who a hello that never crossed a socket stands for; its environment is known from here on."""
    environment = _environment(hello["environment"])
    service.know(environment)
    grant = hello["grant"]
    return Guest(
        principal=hello["principal"],
        client=hello["client"],
        environment=environment.key,
        any_command=grant["any_command"],
        commands=tuple(grant["commands"]),
    )


class StandardStreams:
    """A wire over stdin and stdout, whatever these are (pipes, files, a terminal): a thread reads, threads write.

    While it is open, descriptor 0 is empty and descriptor 1 leads to stderr: a stray `print` cannot break the protocol.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Queue[bytes] = asyncio.Queue()
        self._room = threading.Semaphore(64)  # chunks that may lie unread
        self._writing = asyncio.Lock()
        self._in = self._out = -1

    def __enter__(self) -> Self:
        self._in, self._out = os.dup(0), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        # A daemon: a read that blocks cannot be called off, and must not keep the process alive.
        threading.Thread(target=self._pump, name="stdin", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # The duplicates stay open: the pump may still sit in a read of one, and a number used anew would go to it.
        os.dup2(self._out, 1)
        os.dup2(self._in, 0)

    async def read(self) -> bytes:
        chunk = await self._arrived.get()
        self._room.release()
        if not chunk:
            self._arrived.put_nowait(b"")  # the end stays the end
        return chunk

    async def write(self, sent: bytes) -> None:
        async with self._writing:
            await asyncio.to_thread(_write_all, self._out, sent)

    def _pump(self) -> None:
        chunk = b"-"
        while chunk:
            self._room.acquire()
            try:
                chunk = os.read(self._in, _CHUNK)
            except OSError:
                chunk = b""
            try:
                self._loop.call_soon_threadsafe(self._arrived.put_nowait, chunk)
            except RuntimeError:  # the loop has ended, and with it everybody who would read
                return


def _write_all(file: int, sent: bytes) -> None:
    rest = memoryview(sent)
    while rest:
        rest = rest[os.write(file, rest) :]


def _environment(found: Mapping[str, Any]) -> Environment:
    return Environment(
        key=environment_key(found),
        python=found["python"],
        cwd=found["cwd"],
        path=tuple(found["path"]),
        functions=tuple(found["functions"]),
        variables=dict(found["variables"]),
    )
