"""The engine's side of one shim of commands: what it runs, and the connection to it."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.states import Reason
from mcp_scheduler.executors.local.folders import Berth
from mcp_scheduler.executors.local.links import LineLink, Message


class ShimListener(Protocol):
    """Who is told what a shim does."""

    def shim_hello(self, shim: ShimLink, told: Message) -> None: ...
    def progress(self, attempt: AttemptId, fraction: float | None, text: str) -> None: ...
    def began(self, attempt: AttemptId, at: float) -> None: ...
    def returned(self, attempt: AttemptId) -> None: ...
    def command_ended(self, shim: ShimLink, attempt: AttemptId, told: Message) -> None: ...
    def shim_gone(self, shim: ShimLink) -> None: ...


class ShimLink:
    """`window` holds the attempt that is with this shim and not reported as ended or returned: one at most. A shim
    that is `leaving` gets no other."""

    def __init__(self, berth: Berth, listener: ShimListener) -> None:
        self.berth = berth
        self.window: dict[str, AttemptId] = {}
        self.acks: list[str] = []  # a shim keeps its records in files: nothing is said to it about them
        self.leaving = False
        self.over = asyncio.Event()
        self._let_go = False
        self._listener = listener
        self._waiting: dict[str, Any] | None = None  # an order that was not sent yet
        self._link: LineLink | None = None

    async def connect(self) -> None:
        """Errors: OSError, when there is no shim; `shim_gone` is not called then."""
        loop = asyncio.get_running_loop()
        _, self._link = await loop.create_unix_connection(
            lambda: LineLink(self._heard, self._gone), str(self.berth.control)
        )
        self._send()

    def give(self, attempt: AttemptId, order: dict[str, Any]) -> None:
        """Run this, at once or as soon as the shim is there."""
        self.window[order["attempt"]] = attempt
        self._waiting = order
        self._send()

    def _send(self) -> None:
        if self._link is not None and self._waiting is not None:
            order, self._waiting = self._waiting, None
            self._link.send({"run": order})

    def take_back(self) -> AttemptId | None:
        """The attempt whose order was not sent, if there is one: it is not with this shim any more."""
        if self._waiting is None:
            return None
        text, self._waiting = self._waiting["attempt"], None
        return self.window.pop(text)

    def stop(self, text: str, reason: Reason | None, grace: float) -> None:
        """End this command, whether it has begun or not. Repeated stops change nothing."""
        unsent = self.take_back()
        if unsent is not None:
            self._listener.returned(unsent)
        elif self._link is not None:
            why = "cancelled" if reason is None else reason.value
            self._link.send({"stop": {"attempt": text, "reason": why, "grace": grace}})

    def end(self, grace: float) -> None:
        """End whatever it runs, and the shim itself."""
        self.leaving = True
        if self._link is not None:
            self._link.send({"stop": {"attempt": None, "reason": "cancelled", "grace": grace}})
            self._link.send({"leave": True})

    def disconnect(self) -> None:
        """Leave it alone: its command goes on, and its record waits on disk for the next engine."""
        self.leaving = self._let_go = True
        if self._link is not None:
            self._link.abort()

    def _heard(self, message: Message) -> None:
        if "ended" in message:
            text, outcome = message["ended"]
            attempt = self.window.pop(text, None)
            if attempt is not None:  # else one that nobody wants: it was ended when this engine came
                self._listener.command_ended(self, attempt, outcome)
        elif "progress" in message:
            text, fraction, words = message["progress"]
            if text in self.window:
                self._listener.progress(self.window[text], fraction, words)
        elif "hello" in message:
            self._listener.shim_hello(self, message["hello"])

    def _gone(self) -> None:
        self._link = None
        self.leaving = True
        if not self._let_go:
            self._listener.shim_gone(self)
