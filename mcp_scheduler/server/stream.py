"""A wire as the pair of streams that the MCP SDK reads and writes. Imported late: it needs the SDK.

The SDK drops what it cannot parse and answers what it had to abandon; neither suits a client that counts on an answer
to every request, or on the next engine for it. This stream answers the former and keeps quiet about the latter.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import anyio
import mcp_types as types
from mcp.shared.message import ServerMessageMetadata, SessionMessage

from mcp_scheduler.server.callers import request_key
from mcp_scheduler.server.salvage import request_of
from mcp_scheduler.server.wire import LONGEST_LINE, Wire, lines_of

MOST_IN_FLIGHT: Final = 1000  # requests of one connection; more wait in the socket
_LAST_ANSWERS: Final = 1.5  # seconds for what is under way when the client has closed its side

_CHECKED: Final = 1024 * 1024  # bytes

_BAD_TEXT: Final = (
    "The call could not be read: it is no valid JSON text in UTF-8 (half of a surrogate pair, perhaps, or nested too "
    "deeply). Send it again without that."
)
_OTHER_ERA: Final = (
    "This connection was opened by a handshake; it takes no requests of the protocol that has none. Open another one."
)


class WireStream:
    """Messages from and to one client. Reading ends when the client has closed its side and its requests are
    answered, or after a moment of grace."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._lines = lines_of(wire)
        self._in_flight: set[tuple[type, int | str]] = set()
        self._changed = anyio.Event()
        self._first: SessionMessage | None = None  # was looked at, and is still to be received
        self._has_shaken_hands = False

    async def opens_with_handshake(self) -> bool:
        """Whether the client's first message is `initialize`, which remains to be received: that settles the era."""
        try:
            self._first = await self.receive()
        except anyio.EndOfStream:
            return False
        message = self._first.message
        self._has_shaken_hands = isinstance(message, types.JSONRPCRequest) and message.method == "initialize"
        return self._has_shaken_hands

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def receive(self) -> SessionMessage:
        """The next message. Raises `anyio.EndOfStream` at the end."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        await self._until(lambda: len(self._in_flight) < MOST_IN_FLIGHT)
        async for line in self._lines:
            message = await self._parse(line)
            if message is not None:
                return message
        with anyio.move_on_after(_LAST_ANSWERS):
            await self._until(lambda: not self._in_flight)
        raise anyio.EndOfStream

    async def send(self, item: SessionMessage, /) -> None:
        message = item.message
        if not isinstance(message, (types.JSONRPCResponse, types.JSONRPCError)) or message.id is None:
            await self._write(_encoded(message))
            return
        try:
            if not isinstance(message, types.JSONRPCError) or message.error.code != types.CONNECTION_CLOSED:
                await self._write(_encoded(message))
            # else the SDK's farewell to an abandoned request: the next engine answers it instead
        finally:
            # Not before it is written: with the last answer settled the stream may end, and what ends it calls off
            # whatever is still on its way.
            self._settle(message.id)

    async def aclose(self) -> None:
        """Whoever opened the wire closes it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _parse(self, line: bytes | None) -> SessionMessage | None:
        """The message of a line; None if it was none and has been answered here."""
        if line is None:
            await self._refuse(None, types.INVALID_REQUEST, f"A message has at most {LONGEST_LINE} bytes.")
            return None
        try:
            message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
        except ValueError:
            await self._answer_unreadable(line)
            return None
        if isinstance(message, types.JSONRPCRequest):
            if self._has_shaken_hands and message.method != "initialize" and _is_modern(message):
                await self._refuse(message.id, types.INVALID_REQUEST, _OTHER_ERA)
                return None
            self._in_flight.add((type(message.id), message.id))
            if message.method == "tools/call":
                return SessionMessage(message, ServerMessageMetadata(request_context=request_key(message.id, line)))
        elif isinstance(message, types.JSONRPCNotification) and message.method == "notifications/cancelled":
            # A cancelled request gets no answer.
            ident: Any = (message.params or {}).get("requestId")
            if isinstance(ident, (int, str)):
                self._settle(ident)
        return SessionMessage(message)

    async def _answer_unreadable(self, line: bytes) -> None:
        ident, method = request_of(line)
        if ident is not None and method == "tools/call":
            result = {"content": [{"type": "text", "text": _BAD_TEXT}], "isError": True, "resultType": "complete"}
            await self._write(_line({"jsonrpc": "2.0", "id": ident, "result": result}))
        elif ident is not None:
            await self._refuse(ident, types.INVALID_REQUEST, "Invalid request")
        elif not _is_json(line):
            await self._refuse(None, types.PARSE_ERROR, "Parse error")
        else:
            await self._refuse(None, types.INVALID_REQUEST, "Invalid request")

    async def _refuse(self, ident: int | str | None, code: int, message: str) -> None:
        await self._write(_line({"jsonrpc": "2.0", "id": ident, "error": {"code": code, "message": message}}))

    async def _write(self, line: bytes) -> None:
        try:
            await self._wire.write(line)
        except OSError:
            raise anyio.BrokenResourceError from None

    def _settle(self, ident: int | str) -> None:
        self._in_flight.discard((type(ident), ident))
        self._changed.set()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed = anyio.Event()
            await self._changed.wait()


def _is_modern(request: types.JSONRPCRequest) -> bool:
    meta: object = (request.params or {}).get("_meta")
    return isinstance(meta, dict) and types.PROTOCOL_VERSION_META_KEY in meta


def _encoded(message: types.JSONRPCMessage) -> bytes:
    try:
        return message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
    except ValueError:  # half of a surrogate pair in what a task returned
        return _line(message.model_dump(by_alias=True, exclude_unset=True))


def _line(message: dict[str, Any]) -> bytes:
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace") + b"\n"


def _is_json(line: bytes) -> bool:
    """Whether the line is JSON, though no message. (A line too long to look at is taken for none.)"""
    try:
        json.loads(line[:_CHECKED])
    except RecursionError:
        return True
    except ValueError:
        return False
    return True
