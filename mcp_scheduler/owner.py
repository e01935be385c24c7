"""The owner's protocol from the client's side: JSON-RPC 2.0, a line a message, over the engine's socket. Blocking.

Standard library only: a verb of the command line has 250 ms in all.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from mcp_scheduler.door import LIMIT, Connection, Opening, open_door
from mcp_scheduler.errors import SchedulerError, Unavailable
from mcp_scheduler.hello import make_hello
from mcp_scheduler.home import DoorError, Home
from mcp_scheduler.vigil import QUESTION, Vigil, mend, why

CALL_LIVES = 3  # engines that may end during one call before it is given up


class OwnerClient:
    """One door to the engine of `home`, opened at the first call. A context manager; not for several threads.

    When the engine ends during a call, the call goes on with the next engine: it is recognised there by door and
    number, so that nothing is done twice. Errors are those of `mcp_scheduler.errors`.
    """

    def __init__(
        self,
        home: Home,
        hello: Mapping[str, Any] | None = None,
        *,
        start: bool = True,
        limit: float = LIMIT,
        commands: Sequence[Sequence[str]] | None = None,
        vigil: Vigil | None = None,
    ) -> None:
        """`hello` as from `make_hello("owner", ...)`. With `start` false, only an engine that runs is asked
        (`Unavailable` if none does). `limit` is the time in seconds for the door to open; `commands` as in `Opening`;
        `vigil` says how long the engine may be silent, then, without a sign of life.
        """
        self._home = home
        self._hello = dict(hello or make_hello("owner", client="cli"))
        self._start = start
        self._limit = limit
        self._commands = commands
        self._vigil = vigil or Vigil()
        self._connection: Connection | None = None
        self._in = bytearray()
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def engine(self) -> Mapping[str, Any]:
        """What the engine said about itself when the door opened: pid, version, embedded. Opens the door."""
        return self._open().engine

    def call(
        self,
        method: str,
        params: Mapping[str, Any],
        *,
        timeout: float | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> Any:
        """The result of `method`. `Unavailable` after `timeout` seconds (default: as long as it takes), when no engine
        can be reached, or when it gives no sign of life; `progress` is given the texts that the engine sends while the
        call is under way."""
        self._number += 1
        number = self._number
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": dict(params)}
        line = json.dumps(request).encode() + b"\n"
        self._vigil.heard()  # silence counts while somebody waits
        until = None if timeout is None else time.monotonic() + timeout
        for _ in range(CALL_LIVES):
            try:
                return self._exchange(line, number, until, progress)
            except ConnectionError:
                self._drop()
        raise Unavailable(
            f"The engine ended {CALL_LIVES} times during {method}.", hint=f"Look at {self._home.log_file}."
        )

    def close(self) -> None:
        """Close the door. The engine goes on."""
        if self._connection is not None:
            self._connection.socket.close()
            self._connection = None

    def _open(self) -> Connection:
        if self._connection is None:
            opening = Opening(self._home, self._hello, start=self._start, limit=self._limit, commands=self._commands)
            try:
                self._connection = open_door(opening)
            except DoorError as error:
                raise to_error(error.code, error.message, error.hint) from None
            finally:
                opening.close()
            self._in = bytearray(self._connection.rest)
        return self._connection

    def _drop(self) -> None:
        self.close()
        self._hello["resumed"] = True

    def _exchange(self, line: bytes, number: int, until: float | None, progress: Callable[[str], None] | None) -> Any:
        sock = self._open().socket
        out = memoryview(line)
        while True:
            while (message := self._next_message()) is not None:
                if message.get("id") == number and "method" not in message:
                    return _result(message)
                if message.get("method") == "progress" and progress is not None:
                    params: dict[str, Any] = message.get("params", {})
                    if params.get("id") == number:
                        progress(str(params.get("text", "")))
            self._wait(sock, is_sending=bool(out), until=until)
            out = self._transfer(sock, out)

    def _wait(self, sock: socket.socket, *, is_sending: bool, until: float | None) -> None:
        """Until something can be sent or was received. An engine that is silent is asked whether it lives."""
        poll = select.poll()
        poll.register(sock, select.POLLIN | (select.POLLOUT if is_sending else 0))
        while True:
            now = time.monotonic()
            match self._vigil.step(now, waits=True):
                case "give up":
                    pid = int(self.engine["pid"])
                    raise Unavailable(
                        why(pid, self._vigil.limit), hint=f"What was asked may still be done. {mend(pid)}"
                    )
                case "ask" if not is_sending:  # else it does not read
                    with contextlib.suppress(BlockingIOError):
                        sock.send(QUESTION)
                case _:
                    pass
            left = self._vigil.patience(now) or 0.0
            if poll.poll(1000 * (left if until is None else min(left, max(0.0, until - now)))):
                return
            if until is not None and time.monotonic() >= until:
                raise Unavailable("The engine has not answered in time.", hint="Repeat the call, or give it more time.")

    def _transfer(self, sock: socket.socket, out: memoryview) -> memoryview:
        """Send and receive what can be sent and received without waiting; what is left to send."""
        try:
            if out:
                out = out[sock.send(out) :]
        except BlockingIOError:
            pass  # its buffer is full: read what it has to say first
        try:
            chunk = sock.recv(1 << 18)
        except BlockingIOError:
            return out
        if not chunk:
            raise ConnectionResetError("the engine ended")
        self._in += chunk
        self._vigil.heard()
        return out

    def _next_message(self) -> dict[str, Any] | None:
        end = self._in.find(b"\n")
        if end < 0:
            return None
        line = bytes(self._in[:end])
        del self._in[: end + 1]
        return json.loads(line)


def _result(message: Mapping[str, Any]) -> Any:
    error: dict[str, Any] | None = message.get("error")
    if error is None:
        return message.get("result")
    known: dict[str, Any] = error.get("data") or {}
    facts: dict[str, Any] = known.get("facts") or {}
    raise to_error(str(known.get("code", "error")), str(error.get("message", "")), str(known.get("hint", "")), facts)


def to_error(code: str, message: str, hint: str = "", facts: Mapping[str, Any] | None = None) -> SchedulerError:
    """The error whose class has this `code`; the family's root where the engine is newer and knows more."""
    kinds: list[type[SchedulerError]] = [SchedulerError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    kind = next((kind for kind in kinds if kind.code == code), SchedulerError)
    error = kind(message, hint=hint)
    error.facts.update(facts or {})
    return error
