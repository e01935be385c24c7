"""The engine's ends of its connections: lines to zygote and shims, frames to workers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

from mcp_scheduler.sdk.frames import BrokenFrame, Splitter, frame

Message = dict[str, Any]


class LineLink(asyncio.Protocol):
    """JSON objects, one a line, both ways. `gone` is called once, after the last message."""

    def __init__(self, heard: Callable[[Message], None], gone: Callable[[], None]) -> None:
        self._heard, self._gone = heard, gone
        self._rest = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._heard(json.loads(line))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's)
        self._transport = None
        self._gone()

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    def send(self, message: Message) -> None:
        """To a peer that is gone nothing is sent: `gone` has told."""
        if self._transport is not None:
            self._transport.write(json.dumps(message).encode() + b"\n")

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close without waiting for a peer that does not read."""
        if self._transport is not None:
            self._transport.abort()


_decode = json.JSONDecoder().raw_decode


class FrameLink(asyncio.Protocol):
    """Frames to and from a worker; `heard` gets those that came together.

    A stream that is no longer frames is closed: the worker then keeps its results.
    """

    def __init__(self, heard: Callable[[list[Message]], None], gone: Callable[[], None]) -> None:
        self._heard, self._gone = heard, gone
        self._splitter = Splitter()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            messages = [_decode(body.decode())[0] for body in self._splitter.feed(data)]
        except (BrokenFrame, ValueError):
            assert self._transport is not None
            self._transport.abort()
            return
        if messages:
            self._heard(messages)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's)
        self._transport = None
        self._gone()

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    def send(self, body: bytes) -> None:
        """To a peer that is gone nothing is sent: `gone` has told."""
        if self._transport is not None:
            self._transport.write(frame(body))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close without waiting for a peer that does not read."""
        if self._transport is not None:
            self._transport.abort()
