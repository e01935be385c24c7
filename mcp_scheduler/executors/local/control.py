"""A shim's conversation with engines: a listening socket, and connections that carry a JSON object a line."""

from __future__ import annotations

import json
import selectors
import socket
from collections.abc import Callable
from typing import Any

SLOWEST = 1.0  # seconds that an engine may take to read; a slower one is dropped, and comes back


class Control:
    """`greeting` is told to whoever connects, `heard` gets every message. There is one engine at a time: when one
    connects, what the last one had still said is heard first, and its connection is closed. `gone` is called when a
    connection has ended."""

    def __init__(
        self,
        listener: socket.socket,
        selector: selectors.BaseSelector,
        heard: Callable[[dict[str, Any]], None],
        greeting: Callable[[], dict[str, Any]],
        gone: Callable[[], None] = lambda: None,
    ) -> None:
        self.met = False  # somebody has connected, ever
        self._selector = selector
        self._heard, self._greeting, self._gone = heard, greeting, gone
        self._engine: socket.socket | None = None
        self._rest = b""
        selector.register(listener, selectors.EVENT_READ, self._accept)

    @property
    def is_open(self) -> bool:
        return self._engine is not None

    def tell(self, message: dict[str, Any]) -> None:
        """To an engine that is gone, or does not read, nothing is told: the files tell the next one."""
        if self._engine is None:
            return
        try:
            self._engine.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self._drop()

    def _accept(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.settimeout(SLOWEST)
        while self._engine is not None:
            self._read(self._engine)
        self._engine, self._rest, self.met = connection, b"", True
        self._selector.register(connection, selectors.EVENT_READ, self._read)
        self.tell({"hello": self._greeting()})

    def _read(self, connection: socket.socket) -> None:
        try:
            chunk = connection.recv(1 << 18)
        except OSError:  # reset, or (a last engine that lives on, which must not be) silent
            chunk = b""
        if not chunk:
            self._drop()
            return
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._heard(json.loads(line))

    def _drop(self) -> None:
        if self._engine is not None:
            self._selector.unregister(self._engine)
            self._engine.close()
            self._engine = None
            self._gone()
