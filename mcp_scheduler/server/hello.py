"""Reading a client's hello: who is at the door, what it may run, and where its work runs."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from mcp_scheduler._version import __version__
from mcp_scheduler.errors import InvalidRequest, NotAllowed, TooLarge
from mcp_scheduler.hello import PROTOCOL, environment_key
from mcp_scheduler.ports import Environment

HELLO_LIMIT: Final = 1024 * 1024  # bytes
HELLO_TIME: Final = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class Grant:
    """What a door's tasks may run besides functions: commands that match one of the patterns, or any command.
    `nested` lets a door be opened from inside an attempt."""

    any_command: bool = False
    commands: tuple[str, ...] = ()
    nested: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Door:
    """One client connection, greeted. `id` is the same when the client comes back (`resumed`) after an engine's end.

    `principal` is what `--as` said, "" otherwise; `client` says who opened the door where that is known before the
    protocol says it ("cli", a program's name); `attempt` is the attempt in whose process tree the client runs, or "".
    `pid` is the client's process id at the moment of connecting, 0 if unknown. Lines on `reader` end with a newline
    and are at most LINE_LIMIT bytes (`readline` raises ValueError for a longer one).
    """

    id: str
    speak: str
    version: str
    principal: str
    client: str
    grant: Grant
    environment: Environment
    resumed: bool
    attempt: str
    pid: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


def check_peer(writer: asyncio.StreamWriter) -> int:
    """The peer's process id. Folder and socket are closed to other users already; this is the second lock."""
    if not hasattr(socket, "SO_PEERCRED"):
        return 0
    peer: socket.socket = writer.get_extra_info("socket")
    size = struct.calcsize("3i")
    pid, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    if uid not in (os.geteuid(), 0):
        raise NotAllowed("This scheduler belongs to another user.")
    return pid


async def first_line(reader: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(HELLO_TIME):
            line = await reader.readuntil(b"\n")
    except TimeoutError:
        raise InvalidRequest(f"No hello within {HELLO_TIME:.0f} s.") from None
    except asyncio.IncompleteReadError:
        raise InvalidRequest("The connection ended within the hello.") from None
    except asyncio.LimitOverrunError:
        line = b""
    if not 0 < len(line) <= HELLO_LIMIT:
        raise TooLarge(f"A hello line has at most {HELLO_LIMIT} bytes.")
    return line


def parse(line: bytes) -> dict[str, Any]:
    try:
        hello: Any = json.loads(line)
    except (ValueError, RecursionError):
        hello = None
    if not isinstance(hello, dict) or "mcp_scheduler" not in hello:
        raise InvalidRequest("The first line is not a hello.", hint="Connect through `mcp-scheduler`, not directly.")
    if hello["mcp_scheduler"] != PROTOCOL:
        raise InvalidRequest(
            f"The hello is of protocol {hello['mcp_scheduler']!r}; this engine ({__version__}) speaks {PROTOCOL}.",
            hint="Use the same version of mcp-scheduler everywhere, or stop this engine: mcp-scheduler stop",
        )
    return cast("dict[str, Any]", hello)


def read_door(hello: Mapping[str, Any], pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Door:
    grant = _mapping(hello, "grant")
    return Door(
        id=_text(hello, "door") or os.urandom(16).hex(),
        speak=_text(hello, "speak"),
        version=_text(hello, "version"),
        principal=_text(hello, "principal"),
        client=_text(hello, "client"),
        grant=Grant(
            any_command=_flag(grant, "any_command"),
            commands=_strings(grant, "commands"),
            nested=_flag(grant, "nested"),
        ),
        environment=_environment(_mapping(hello, "environment")),
        resumed=_flag(hello, "resumed"),
        attempt=_text(hello, "attempt"),
        pid=pid,
        reader=reader,
        writer=writer,
    )


def _environment(found: Mapping[str, Any]) -> Environment:
    variables = _mapping(found, "variables")
    return Environment(
        key=environment_key(found),
        python=_text(found, "python"),
        cwd=_text(found, "cwd"),
        path=_strings(found, "path"),
        functions=_strings(found, "functions"),
        variables={name: _text(variables, name) for name in variables},
    )


def _text(found: Mapping[str, Any], name: str) -> str:
    return cast("str", _checked(found.get(name, ""), name, str))


def _flag(found: Mapping[str, Any], name: str) -> bool:
    return cast("bool", _checked(found.get(name, False), name, bool))


def _mapping(found: Mapping[str, Any], name: str) -> dict[str, Any]:
    return cast("dict[str, Any]", _checked(found.get(name, {}), name, dict))


def _strings(found: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = cast("list[Any]", _checked(found.get(name, []), name, list))
    return tuple(cast("str", _checked(value, name, str)) for value in values)


def _checked(value: Any, name: str, kind: type) -> object:
    if not isinstance(value, kind):
        raise InvalidRequest(f"The hello's {name!r} is not what it should be: {kind.__name__}.")
    return value
