"""The stdio door: copies lines between an MCP client and the engine, and stands by the client when engines die.

One thread, one poll loop, nothing that blocks. Standard library only: an MCP client waits for this import.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import stat
import time

from mcp_scheduler.conversation import INTERNAL_ERROR, Conversation
from mcp_scheduler.door import Connection, Opening
from mcp_scheduler.home import DoorError, Home
from mcp_scheduler.lines import Lines, TooLong
from mcp_scheduler.vigil import QUESTION, Vigil, told

TYPE_CHECKING = False  # typing, too, is dear at a client's start
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from mcp_scheduler.start import Started

MIB = 1024 * 1024
LINE_LIMIT = 16 * MIB  # bytes of one message from the client
CLIENT_LIMIT = 64 * MIB  # bytes from the client that may wait for an engine
WAITING_LIMIT = 8 * MIB  # bytes that may wait for a slow reader, either way
CHUNK = 64 * 1024  # bytes at once; a larger buffer would be mapped anew by the C library at every read
ATOMIC = 4096  # a blocking pipe that polls writable takes so many bytes without blocking
ANSWER_TIME = 1.2  # seconds after the client's last word in which answers may still come
EXIT_TIME = 1.5  # seconds after which the relay is gone in any case
SHORT_LIFE = 1.0  # an engine that was lost sooner is not rushed at again
CLOSED = select.POLLERR | select.POLLHUP | select.POLLNVAL


class Relay:
    """One client's door. `run` returns when the client has gone."""

    def __init__(
        self,
        home: Home,
        hello: Mapping[str, Any],
        *,
        commands: Sequence[Sequence[str]] | None = None,
        vigil: Vigil | None = None,
        stdin: int = 0,
        stdout: int = 1,
    ) -> None:
        """`commands` start an engine, as in `Opening`. `vigil` says how long an engine may be silent."""
        self._home = home
        self._hello = dict(hello)
        self._commands = commands
        self._stdin = stdin
        self._stdout = stdout
        self._vigil = vigil or Vigil()
        self._talk = Conversation()
        self._from_client = Lines(LINE_LIMIT)
        self._to_client = bytearray()
        self._from_engine = Lines(0)
        self._to_engine = bytearray()
        self._opening: Opening | None = None
        self._connection: Connection | None = None
        self._connected_at = 0.0
        self._open_after = 0.0
        self._started: list[Started] = []
        self._eof_at: float | None = None
        self._client_gone = False
        self._half_closed = False
        self._atomic = not _unblock(stdout)
        self._poll = select.poll()
        self._interest: dict[int, int] = {}

    def run(self) -> int:
        """Relay until the client has closed its end; the exit code."""
        self._open()
        while not self._is_done():
            self._wait()
            self._advance()
        return 0

    # --- the loop ---

    def _wait(self) -> None:
        """Wait until something can be done, and do the reading and writing that can."""
        interest = {self._stdout: select.POLLOUT if self._to_client else 0}
        if self._eof_at is None and self._from_client.size < CLIENT_LIMIT:
            interest[self._stdin] = select.POLLIN
        self._add_engine(interest)
        if interest != self._interest:
            self._poll = select.poll()
            for file, events in interest.items():
                self._poll.register(file, events)
            self._interest = interest
        for file, events in self._poll.poll(self._patience()):
            if file == self._stdout:
                if events & CLOSED:
                    self._client_gone = True
                elif events & select.POLLOUT:
                    self._write_client()
            elif file == self._stdin:
                self._read_client()
            elif self._connection is not None:
                self._exchange(self._connection.socket, events)

    def _add_engine(self, interest: dict[int, int]) -> None:
        if self._connection is not None:
            events = select.POLLIN if len(self._to_client) < WAITING_LIMIT else 0
            events |= select.POLLOUT if self._to_engine else 0
            # Without events the socket stays out of the poll: its end would be reported again and again, unread.
            if events:
                interest[self._connection.socket.fileno()] = events
        elif self._opening is not None and self._opening.socket is not None:
            interest[self._opening.socket.fileno()] = self._opening.events

    def _patience(self) -> float | None:
        """Milliseconds until something is to be done that no file announces."""
        now = time.monotonic()
        seconds: list[float] = []
        if self._opening is not None:
            seconds.append(self._opening.pause if self._open_after <= now else self._open_after - now)
        if self._connection is not None and (left := self._vigil.patience(now)) is not None:
            seconds.append(left)
        if self._eof_at is not None:
            until = EXIT_TIME if self._half_closed or self._connection is None else ANSWER_TIME
            seconds.append(self._eof_at + until - now)
        return max(0.0, min(seconds)) * 1000 + 1 if seconds else None

    def _advance(self) -> None:
        """Do what does not need a file: open, move lines, half-close."""
        if self._opening is not None:
            self._step()
        if self._connection is not None:
            self._move()
            self._watch(self._connection)
        elif self._opening is None and self._from_client.size and self._eof_at is None:
            self._open()  # after a failure, the next message tries again
        if self._to_client and not self._atomic:
            self._write_client()

    def _is_done(self) -> bool:
        if self._client_gone:
            return True
        if self._eof_at is None:
            return False
        if time.monotonic() >= self._eof_at + EXIT_TIME:
            return True
        if self._to_client:
            return False
        if self._connection is None and (self._half_closed or self._opening is None):
            return True  # nobody is left to answer
        return not (self._to_engine or self._talk.waits or self._from_client.size)

    # --- the client ---

    def _read_client(self) -> None:
        try:
            chunk = os.read(self._stdin, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if chunk:
            self._from_client.feed(chunk)
            return
        self._eof_at = time.monotonic()
        self._from_client.finish()

    def _write_client(self) -> None:
        try:
            sent = os.write(self._stdout, self._to_client[:ATOMIC] if self._atomic else self._to_client)
        except BlockingIOError:
            return
        except OSError:
            self._client_gone = True
            return
        del self._to_client[:sent]

    # --- the way to an engine ---

    def _open(self) -> None:
        self._opening = Opening(self._home, self._hello, commands=self._commands)
        if self._open_after <= time.monotonic():
            self._step()

    def _step(self) -> None:
        assert self._opening is not None
        if time.monotonic() < self._open_after:
            return
        try:
            connection = self._opening.step()
        except DoorError as error:
            self._end_opening()
            again = " Then repeat the call: each call tries to start the engine." if error.code == "unavailable" else ""
            self._fail(f"{error}{again}")
            return
        if connection is None:
            return
        self._end_opening()
        self._hello["resumed"] = True
        self._connection = connection
        self._connected_at = time.monotonic()
        self._vigil.heard()
        self._from_engine = Lines(0)
        self._from_engine.feed(connection.rest)
        self._to_engine += self._talk.handshake()
        if not self._talk.is_replaying:
            self._to_engine += self._talk.unfinished()

    def _end_opening(self) -> None:
        assert self._opening is not None
        self._opening.close()
        self._started = [started for started in [*self._started, *self._opening.started] if not started.ended()]
        self._opening = None

    def _fail(self, text: str) -> None:
        """No engine: everything that waits for one is answered with `text`."""
        while (line := self._from_client.take()) is not None:
            self._accept(line)
        self._to_engine.clear()
        self._to_client += self._talk.give_up(text)

    def _lose_engine(self) -> None:
        assert self._connection is not None
        self._connection.socket.close()
        self._connection = None
        self._to_engine.clear()
        self._to_client += self._talk.engine_lost()
        self._to_client += self._talk.give_up(
            "The scheduler's engine has ended again and again while it worked on this request, which may be the cause. "
            f"Look at {self._home.log_file} before you repeat it.",
            only_worn=True,
        )
        now = time.monotonic()
        if now - self._connected_at < SHORT_LIFE:
            self._open_after = now + 0.1
        if not self._half_closed:
            self._open()

    # --- an open connection ---

    def _exchange(self, sock: socket.socket, events: int) -> None:
        if events & select.POLLOUT and self._to_engine:
            self._send(sock)
        if events & (select.POLLIN | CLOSED):
            self._receive(sock)

    def _send(self, sock: socket.socket) -> None:
        try:
            sent = sock.send(self._to_engine)
        except BlockingIOError:
            return
        except OSError:  # it is gone; what it said before is still to be read
            self._to_engine.clear()
            return
        del self._to_engine[:sent]

    def _receive(self, sock: socket.socket) -> None:
        try:
            chunk = sock.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if chunk:
            self._vigil.heard()
            self._from_engine.feed(chunk)
            self._take_from_engine()
            return
        self._lose_engine()  # a last line without its newline is not passed on: its request is sent again

    def _take_from_engine(self) -> None:
        while (line := self._from_engine.take()) is not None:
            assert isinstance(line, bytes)
            replaying = self._talk.is_replaying
            self._to_client += self._talk.from_engine(line)
            if replaying and not self._talk.is_replaying:
                self._to_engine += self._talk.unfinished()

    def _move(self) -> None:
        """Pass on what the client has said, as far as the engine keeps up, and say when that was all."""
        assert self._connection is not None
        self._take_from_engine()
        while not self._talk.is_replaying and len(self._to_engine) < WAITING_LIMIT:
            line = self._from_client.take()
            if line is None:
                break
            self._accept(line)
        if self._to_engine:
            self._send(self._connection.socket)
        if self._eof_at is not None and not self._half_closed and time.monotonic() >= self._eof_at + ANSWER_TIME:
            self._half_closed = True
            _shut(self._connection.socket)

    def _watch(self, connection: Connection) -> None:
        """An engine that is silent for too long, while its client waits, is asked whether it lives; then the client is
        told. What the engine says of it when it goes on comes too late and is not passed on."""
        waits = self._talk.expects_answer and len(self._to_client) < WAITING_LIMIT  # else the silence is ours
        match self._vigil.step(time.monotonic(), waits):
            case "ask":
                self._to_engine += QUESTION
                self._talk.swallow_sign_of_life()
            case "give up":
                self._to_client += self._talk.give_up(
                    told(int(connection.engine.get("pid", 0)), self._vigil.limit), answers_may_come=True
                )
            case _:
                return

    def _accept(self, line: bytes | TooLong) -> None:
        if isinstance(line, bytes):
            self._to_engine += self._talk.from_client(line)
            return
        text = f"A message of {line.size} bytes is too long: {LINE_LIMIT} are allowed. Pass large data as files."
        number = line.request_id()
        if not number:
            _murmur(f"mcp-scheduler: {text}\n")
            return
        error = {"code": INTERNAL_ERROR, "message": text}
        self._to_client += b'{"jsonrpc":"2.0","id":%s,"error":%s}\n' % (number.encode(), json.dumps(error).encode())


def _unblock(file: int) -> bool:
    """Make a pipe or socket non-blocking; a terminal or file is shared with others and is left as it is."""
    try:
        mode = os.fstat(file).st_mode
    except OSError:
        return False  # it is closed: the poll loop finds that out
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return False
    fcntl.fcntl(file, fcntl.F_SETFL, fcntl.fcntl(file, fcntl.F_GETFL) | os.O_NONBLOCK)
    return True


def _murmur(text: str) -> None:
    """Tell whoever reads our standard error, if anybody does."""
    try:
        os.write(2, text.encode())
    except OSError:
        return  # closed: the client does not want to know


def _shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        return  # the engine was faster


def main(
    home: Home,
    hello: Mapping[str, Any],
    commands: Sequence[Sequence[str]] | None = None,
    vigil: Vigil | None = None,
) -> int:
    """Serve the client on standard input and output until it closes one of them, or a signal ends the process."""
    # The default actions end the process at once, with the truth in its exit status; nothing here needs a clean-up.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
    return Relay(home, hello, commands=commands, vigil=vigil).run()
