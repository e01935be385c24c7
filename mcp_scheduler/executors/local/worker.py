"""The engine's side of one worker: its window of calls, its two connections, and how its end is put together."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.states import Reason
from mcp_scheduler.executors.local.folders import Berth
from mcp_scheduler.executors.local.links import FrameLink, LineLink, Message
from mcp_scheduler.executors.local.outcomes import STOPPED

MISSED_AGAIN = 0.05  # seconds until a stop that met another call is tried once more
SHIMLESS = 0.5  # seconds in which the last words of a worker without a shim are heard


class Listener(Protocol):
    """Who is told what a worker does."""

    def hello(self, worker: Worker, told: Message) -> None: ...
    def began(self, attempt: AttemptId, at: float) -> None: ...
    def progress(self, attempt: AttemptId, fraction: float | None, text: str) -> None: ...
    def ended(self, worker: Worker, ends: list[tuple[AttemptId, Message]]) -> None: ...
    def returned(self, attempt: AttemptId) -> None: ...
    def emptied(self, worker: Worker) -> None: ...
    def catalogue_told(self, worker: Worker, told: Message) -> None: ...
    def retiring(self, worker: Worker) -> None: ...
    def gone(self, worker: Worker, told: Message | None) -> None: ...


class Worker:
    """`window` holds, in order, the attempts that are with this worker and not reported as ended or returned.

    `leaving` workers get no new calls. `gone` is called exactly once, when both connections have ended, with the
    shim's last word, or None when the shim died without one.
    """

    def __init__(self, berth: Berth, environment: str, cookie: str, listener: Listener) -> None:
        self.berth = berth
        self.environment = environment
        self.cookie = cookie
        self.window: dict[str, AttemptId] = {}
        self.pids: dict[str, int] = {}  # "shim" and "worker", as soon as the shim has told
        self.slot = ""
        self.devices: tuple[str, ...] = ()  # that it sees; such a worker belongs to its slot for life
        self.ready = False
        self.ready_once = False
        self.leaving = False
        self.adopted = False
        self.alive = True
        self.over = asyncio.Event()  # gone, and buried
        self.held: dict[str, Message] = {}  # ends of stopped calls, told when the whole tree is gone
        self.acks: list[str] = []  # durable results that the worker does not know of as such; `flush` tells it
        self._listener = listener
        self._outbox: list[tuple[str, bytes]] = []  # calls that were not sent yet
        self._stopping: dict[str, tuple[str, float]] = {}
        self._shim: LineLink | None = None
        self._calls: FrameLink | None = None
        self._told: Message | None = None

    async def connect(self) -> None:
        """To the shim first: it knows how a worker ended that cannot be reached any more. Errors: OSError, when there
        is no shim; `gone` is not called then."""
        loop = asyncio.get_running_loop()
        berth = self.berth
        _, self._shim = await loop.create_unix_connection(
            lambda: LineLink(self._shim_heard, self._shim_gone), str(berth.control)
        )
        try:
            _, self._calls = await loop.create_unix_connection(
                lambda: FrameLink(self._heard, self._calls_gone), str(berth.calls)
            )
        except OSError:
            return  # the worker ended already: the shim is about to say how

    # -- what the engine wants

    def add(self, text: str, attempt: AttemptId, call: bytes) -> None:
        """Put a call behind the others; `flush` sends it."""
        self.window[text] = attempt
        self._outbox.append((text, call))

    def flush(self) -> None:
        """Send what has gathered: what is durable first, then the calls, in one frame."""
        if not self.ready or self._calls is None:
            return
        parts: list[bytes] = []
        if self.acks:
            acks, self.acks = self.acks, []
            parts.append(b'"ack":["%b"]' % '","'.join(acks).encode())
        if self._outbox:
            outbox, self._outbox = self._outbox, []
            calls = b",".join([b'["%b",%b]' % (text.encode(), call) for text, call in outbox])
            parts.append(b'"calls":[%b]' % calls)
        if parts:
            self._calls.send(b"{%b}" % b",".join(parts))

    def recall(self) -> None:
        """Take back what has not begun."""
        outbox, self._outbox = self._outbox, []
        for text, _ in outbox:
            self._return(text)
        if self.window and self._calls is not None:
            self._calls.send(b'{"recall":true}')
        self._look()

    def describe(self) -> None:
        if self._calls is not None:
            self._calls.send(b'{"describe":true}')

    def stop(self, text: str, reason: Reason | None, grace: float) -> None:
        """End this call, whether it has begun or not. Repeated stops change nothing."""
        if text in self._stopping or text in self.held:
            return
        if any(text == waiting for waiting, _ in self._outbox):
            self._outbox = [item for item in self._outbox if item[0] != text]
            self._return(text)
            self._look()
            return
        self._stopping[text] = ("cancelled" if reason is None else reason.value, grace)
        self.recall()
        self._stop_again(text)

    def pause(self, text: str) -> None:
        """Ask this call to give way; one that was not sent comes back."""
        if any(text == waiting for waiting, _ in self._outbox):
            self._outbox = [item for item in self._outbox if item[0] != text]
            self._return(text)
            self._look()
        elif self._calls is not None:
            self._calls.send(b'{"yield":"%b"}' % text.encode())

    def end(self, grace: float) -> None:
        """End the worker, whatever it does."""
        self.leaving = True
        self.flush()
        if self._shim is not None:
            self._shim.send({"stop": {"attempt": None, "reason": "", "grace": grace}})

    def disconnect(self) -> None:
        """Leave it alone: it finishes its call, and its results wait on disk for the next engine."""
        self.alive = self.ready = False
        for link in (self._calls, self._shim):
            if link is not None:
                link.abort()

    def _stop_again(self, text: str) -> None:
        stop = self._stopping.get(text)
        if stop is not None and text in self.window and self._shim is not None:
            self._shim.send({"stop": {"attempt": text, "reason": stop[0], "grace": stop[1]}})

    # -- what the worker says

    def _heard(self, messages: list[Message]) -> None:
        ends: list[tuple[AttemptId, Message]] = []
        for message in messages:
            for kind, told in message.items():
                if kind == "done":
                    for text, outcome in told:
                        self._done(text, outcome, ends)
                else:
                    self._heard_other(kind, told)
        if ends:
            self._listener.ended(self, ends)
        self._look()

    def _heard_other(self, kind: str, told: Any) -> None:
        match kind:
            case "hello":
                self.ready = self.ready_once = True
                self._listener.hello(self, told)
                self.flush()
            case "began":
                if (attempt := self.window.get(told[0])) is not None:
                    self._listener.began(attempt, told[1])
            case "progress":
                if (attempt := self.window.get(told[0])) is not None:
                    self._listener.progress(attempt, told[1], told[2])
            case "returned":
                for text in told:
                    self._return(text)
            case "catalogue":
                self._listener.catalogue_told(self, told)
            case "retiring":
                self.leaving = True
                self._listener.retiring(self)
            case _:
                return  # a word of a newer worker that this engine can do without

    def _done(self, text: str, told: Message, ends: list[tuple[AttemptId, Message]]) -> None:
        attempt = self.window.get(text)
        if attempt is None:
            return  # said again on a new connection
        if told.get("reason") in STOPPED:
            self.held[text] = told
            return
        del self.window[text]
        if self._stopping and self._stopping.pop(text, None) and self._shim is not None:
            self._shim.send({"spare": text})  # it was over before the stop came
        ends.append((attempt, told))

    def _return(self, text: str) -> None:
        attempt = self.window.pop(text, None)
        self._stopping.pop(text, None)
        if attempt is not None:
            self._listener.returned(attempt)

    def _look(self) -> None:
        if not self.window:
            self._listener.emptied(self)

    # -- what the shim says, and the end

    def _shim_heard(self, message: Message) -> None:
        if "missed" in message:
            asyncio.get_running_loop().call_later(MISSED_AGAIN, self._stop_again, message["missed"])
        elif "ended" in message:
            self._told = message["ended"]
        elif "hello" in message:
            self.pids = {"shim": message["hello"]["pid"], "worker": message["hello"]["child"]}

    def _shim_gone(self) -> None:
        if self._told is None and self._calls is not None:
            # The shim was killed, and the kernel kills the worker. A child of the call may hold the connection open.
            asyncio.get_running_loop().call_later(SHIMLESS, self._calls.close)
        self._link_gone()

    def _calls_gone(self) -> None:
        self.leaving = True
        asyncio.get_running_loop().call_later(SHIMLESS, self._end_unreachable)
        self._link_gone()

    def _end_unreachable(self) -> None:
        """It closed its connection, and most likely ends. If it does not: a worker that cannot be told is of no use."""
        if self.alive:
            self.end(grace=1.0)

    def _link_gone(self) -> None:
        links = (self._shim, self._calls)
        if self.alive and not any(link is not None and link.is_open for link in links):
            self.alive = self.ready = False
            self.leaving = True
            self._shim = self._calls = None  # they know this worker: no circle stays behind
            self._listener.gone(self, self._told)
