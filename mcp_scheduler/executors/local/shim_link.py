"""The engine's side of one shim of commands: what it runs, what waits behind that, and the connection to it."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.states import Reason
from mcp_scheduler.executors.local.folders import Berth
from mcp_scheduler.executors.local.links import LineLink, Message
from mcp_scheduler.ports import Environment


class ShimListener(Protocol):
    """Who is told what a shim does."""

    def shim_hello(self, shim: ShimLink, told: Message) -> None: ...
    def progress(self, attempt: AttemptId, fraction: float | None, text: str) -> None: ...
    def began(self, attempt: AttemptId, at: float) -> None: ...
    def returned(self, attempt: AttemptId) -> None: ...
    def command_ended(self, shim: ShimLink, attempt: AttemptId, told: Message, file: str) -> None: ...
    def shim_heard(self, shim: ShimLink) -> None: ...
    def missed(self, shim: ShimLink, attempts: list[AttemptId]) -> None: ...
    def shim_gone(self, shim: ShimLink) -> None: ...


class ShimLink:
    """`window` holds the attempts that are with this shim and not reported as ended or returned: the one that runs, and
    those that wait behind it. A shim that is `leaving` gets no others."""

    def __init__(self, berth: Berth, listener: ShimListener) -> None:
        self.berth = berth
        self.window: dict[str, AttemptId] = {}
        self.acks: list[str] = []  # a shim keeps its records in files: nothing is said to it about them
        self.pids: dict[str, int] = {}  # "shim", as soon as it has told
        self.slot = ""
        self.given = 0
        self.leaving = False
        self.over = asyncio.Event()
        self._let_go = False
        self._met = False
        self._known: set[str] = set()  # environments that it was told
        self._still: set[str] = set()  # what shall stand still
        self._listener = listener
        self._unsent: dict[str, tuple[dict[str, Any], Environment]] = {}
        self._link: LineLink | None = None

    async def connect(self) -> None:
        """Errors: OSError, when there is no shim; `shim_gone` is not called then."""
        loop = asyncio.get_running_loop()
        _, self._link = await loop.create_unix_connection(
            lambda: LineLink(self._heard, self._gone), str(self.berth.control)
        )
        self._send()

    def give(self, attempt: AttemptId, order: dict[str, Any], environment: Environment) -> None:
        """Run this as soon as the shim is there, and has run what it was given before."""
        self.window[order["attempt"]] = attempt
        self.given += 1
        self._unsent[order["attempt"]] = order, environment
        self._send()

    def _send(self) -> None:
        if self._link is None:
            return
        unsent, self._unsent = self._unsent, {}
        for order, environment in unsent.values():
            if environment.key not in self._known:
                self._known.add(environment.key)
                self._link.send({"environment": [environment.key, dict(environment.variables)]})
            self._link.send({"run": order})

    def take_back(self) -> list[AttemptId]:
        """The attempts whose orders were not sent: they are not with this shim any more."""
        unsent, self._unsent = self._unsent, {}
        return [self.window.pop(text) for text in unsent]

    def recall(self) -> None:
        """Take back what has not begun."""
        for attempt in self.take_back():
            self._listener.returned(attempt)
        if self._link is not None:
            self._link.send({"recall": True})

    def stop(self, text: str, reason: Reason | None, grace: float) -> None:
        """End this command, whether it has begun or not. Repeated stops change nothing."""
        if self._unsent.pop(text, None) is not None:
            self._listener.returned(self.window.pop(text))
        elif self._link is not None:
            why = "cancelled" if reason is None else reason.value
            self._still.discard(text)
            self._link.send({"stop": {"attempt": text, "reason": why, "grace": grace}})

    def pause(self, text: str) -> None:
        """Let this command stand still; one that has not begun comes back."""
        if self._unsent.pop(text, None) is not None:
            self._listener.returned(self.window.pop(text))
        elif text in self.window:
            self._still.add(text)
            if self._link is not None:
                self._link.send({"pause": text})

    def proceed(self, text: str) -> None:
        """Let it go on."""
        self._still.discard(text)
        if self._link is not None:
            self._link.send({"continue": text})

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
            self._ended(message["ended"], message["file"])
        elif "returned" in message:
            self._returned(message["returned"])
        elif "hello" in message:
            self._greeted(message["hello"])
        elif "progress" in message:
            text, fraction, words = message["progress"]
            if text in self.window:
                self._listener.progress(self.window[text], fraction, words)
        elif "began" in message:
            text, at = message["began"]
            if text in self.window:
                self._listener.began(self.window[text], at)

    def _ended(self, ends: list[tuple[str, Message]], file: str) -> None:
        for text, outcome in ends:
            self._still.discard(text)
            attempt = self.window.pop(text, None)
            if attempt is not None:  # else one that nobody wants: it was ended when this engine came
                self._listener.command_ended(self, attempt, outcome, file)
        self._listener.shim_heard(self)

    def _returned(self, texts: list[str]) -> None:
        for text in texts:
            attempt = self.window.pop(text, None)
            if attempt is not None:
                self._listener.returned(attempt)
        self._listener.shim_heard(self)

    def _greeted(self, told: Message) -> None:
        """One that has met us before had let go of us meanwhile: what it does not run any more has ended, or was
        forgotten unbegun."""
        self.pids = {"shim": told["pid"]}
        if self._met:
            missed = [text for text in self.window if text != told["current"] and text not in self._unsent]
            self._listener.missed(self, [self.window.pop(text) for text in missed])
        if self._link is not None:
            for text in self._still & self.window.keys():  # it let go of us, and so let them go on
                self._link.send({"pause": text})
        self._met = True
        self._listener.shim_hello(self, told)

    def _gone(self) -> None:
        self._link = None
        self.leaving = True
        if not self._let_go:
            self._listener.shim_gone(self)
