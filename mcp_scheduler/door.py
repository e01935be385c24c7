"""The client's side of a door: find the home's engine or start one, greet it, hear its welcome.

Standard library only, and little of it: every client's start imports this file. Nothing here blocks but `open_door`.
"""

from __future__ import annotations

import json
import select
import signal
import socket
import sys
import time

from mcp_scheduler import vigil
from mcp_scheduler._version import __version__
from mcp_scheduler.hello import PROTOCOL
from mcp_scheduler.home import EXIT_LOCKED, DoorError, Home, version_key
from mcp_scheduler.start import Started, engine_commands, log_tail, package_folder, start_engine

TYPE_CHECKING = False  # typing, too, is dear at a client's start
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

LIMIT = 15.0  # seconds within which an engine must answer
RETRY_PAUSES = (0.005, 0.05)  # seconds between two tries to connect: the first, the longest
KILLED_AT_MOST = 3  # engines that may be killed while they start; then killing them is no accident
RESTART_PAUSE = 1.0  # seconds that the engine which won the lock gets before another one is tried


class Connection:
    """An open door. `socket` is non-blocking; `rest` are bytes that came behind the welcome; `engine` is what the
    engine said about itself: pid, version, embedded."""

    __slots__ = ("engine", "rest", "socket")

    def __init__(self, sock: socket.socket, engine: dict[str, Any], rest: bytes) -> None:
        self.socket = sock
        self.engine = engine
        self.rest = rest


class Opening:
    """The way to an open door, step by step: connect, or start an engine and connect; say hello; hear the welcome.

    Call `step` until it returns a Connection; in between wait until `socket`, if there is one, can do `events`, at
    most `pause` seconds. `step` never blocks. It raises `DoorError` if the engine refuses, cannot be started, or has
    not answered `limit` seconds after the first step; the engine's last log lines are then in the message.
    """

    def __init__(
        self,
        home: Home,
        hello: Mapping[str, Any],
        *,
        commands: Sequence[Sequence[str]] | None = None,
        start: bool = True,
        limit: float = LIMIT,
    ) -> None:
        """`commands` start an engine, tried in this order (default: `engine_commands`). With `start` false only an
        engine that runs is asked. A door inside an attempt starts none: the engine would die with the attempt."""
        self.socket: socket.socket | None = None
        self.started: list[Started] = []
        self._home = home
        self._hello = dict(hello)
        self._commands = commands
        self._may_start = start and not hello.get("attempt")
        self._start = start
        self._untried: list[Sequence[str]] | None = None
        self._begun = time.monotonic()
        self._limit = limit
        self._start_after = 0.0
        self._retry_pause = RETRY_PAUSES[0]
        self._asked_to_leave = False
        self._leaving = False
        self._listens = False
        self._out = b""
        self._in = b""

    @property
    def events(self) -> int:
        return select.POLLIN | (select.POLLOUT if self._out else 0)

    @property
    def pause(self) -> float:
        left = max(0.0, self._begun + self._limit - time.monotonic())
        return left if self.socket else min(left, self._retry_pause)

    def step(self) -> Connection | None:
        """Do what can be done now; the connection once the engine has said welcome."""
        try:
            if time.monotonic() > self._begun + self._limit:
                raise self._too_late()
            if self.socket is None and not self._connect():
                return None
            return self._greet()
        except (BrokenPipeError, ConnectionResetError):
            self._again()  # the engine left, or died, between our connect and its welcome
            return None
        except DoorError:
            self.close()
            raise

    def close(self) -> None:
        """Give up. An engine that was started goes on."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def _again(self) -> None:
        self.close()
        self._retry_pause = min(self._retry_pause * 2, RETRY_PAUSES[1])

    def _connect(self) -> bool:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            sock.connect(self._home.engine_address())
        except BlockingIOError:  # it runs, and its queue of new connections is full
            sock.close()
            self._listens = True
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            sock.close()
            self._listens = False
            self._ensure_engine()
        except OSError as error:
            sock.close()
            raise DoorError(f"The engine's socket cannot be used: {error.strerror}.") from None
        else:
            self.socket = sock
            self._listens = True
            self._leaving = False
            self._out = json.dumps(self._hello).encode() + b"\n"
            self._in = b""
            return True
        self._retry_pause = min(self._retry_pause * 2, RETRY_PAUSES[1])
        return False

    def _ensure_engine(self) -> None:
        """Nobody listens: start an engine, unless one that may still come up was started."""
        if not self._start:
            raise DoorError("No engine runs for this home.", hint="Submit something, or run: mcp-scheduler serve")
        if not self._may_start or time.monotonic() < self._start_after:
            return
        if self._untried is None:
            self._home.prepare()
            self._untried = list(self._commands if self._commands is not None else engine_commands(self._home))
        if self.started and not self._next_command(self.started[-1]):
            return
        self.started.append(start_engine(self._home, self._untried[0]))

    def _next_command(self, last: Started) -> bool:
        """Whether to start an engine now, after `last`."""
        assert self._untried is not None
        if not last.ended():
            return False
        if last.exit_code in (0, EXIT_LOCKED):  # it left the home to another one: that one gets time to listen
            self._start_after = time.monotonic() + RESTART_PAUSE
            self.started.remove(last)
            return False
        killed = sum(started.exit_code == -signal.SIGKILL for started in self.started)
        if last.exit_code == -signal.SIGKILL and killed < KILLED_AT_MOST:
            return True  # by somebody else: that says nothing about the command
        if len(self._untried) == 1:
            raise DoorError(
                f"The scheduler's engine could not be started: its process ended with exit code {last.exit_code}.",
                hint=f"Look at {self._home.log_file}; its last lines: {last.last_words() or '(none)'}",
            )
        self._untried = self._untried[1:]
        return True

    def _greet(self) -> Connection | None:
        assert self.socket is not None
        try:
            if self._out:
                self._out = self._out[self.socket.send(self._out) :]
            chunk = self.socket.recv(65536)
        except BlockingIOError:
            return None
        if not chunk:
            self._again()
            return None
        if self._leaving:
            return None
        self._in += chunk
        line, newline, rest = self._in.partition(b"\n")
        return self._welcomed(_read_welcome(line), rest) if newline else None

    def _welcomed(self, welcome: dict[str, Any], rest: bytes) -> Connection | None:
        assert self.socket is not None
        error: dict[str, Any] = welcome.get("error") or {}
        if error.get("code") == "shutting_down":
            self._again()
            return None
        if error and self._asked_to_leave:  # it stays: an older engine serves us as well as it can
            self._hello.pop("hand_over", None)
            self._again()
            return None
        if error:
            raise DoorError(str(error.get("message", "")), code=str(error.get("code")), hint=str(error.get("hint", "")))
        engine: dict[str, Any] = welcome.get("engine") or {}
        if self._hello.pop("hand_over", False):
            self._leaving = True  # what we hear next is the end of this connection
            return None
        if self._may_start and not self._asked_to_leave and _is_older(engine):
            self._ask_to_leave()
            return None
        sock, self.socket = self.socket, None
        return Connection(sock, engine, rest)

    def _ask_to_leave(self) -> None:
        """A newer program meets an older engine: the home is handed over to ours, running work and all."""
        self._home.record_newest(__version__, sys.executable, package_folder())
        self._asked_to_leave = True
        self._hello["hand_over"] = True
        self._again()

    def _too_late(self) -> DoorError:
        pid = self._home.engine_record().get("pid", "unknown")
        if self._listens and isinstance(pid, int):
            what, then = vigil.why(pid, self._limit), vigil.mend(pid)
        else:
            what = (
                f"No engine of {self._home.path} has come up within {self._limit:.0f} s (the last was process {pid})."
            )
            then = "Repeat the call, or see what `mcp-scheduler doctor` says."
        tail = log_tail(self._home) or "(none)"
        return DoorError(what, hint=f"{then} Look at {self._home.log_file}; its last lines: {tail}")


def open_door(opening: Opening) -> Connection:
    """Wait until the door is open. `DoorError` as `Opening.step`."""
    while (connection := opening.step()) is None:
        poll = select.poll()
        if opening.socket is not None:
            poll.register(opening.socket, opening.events)
        poll.poll(opening.pause * 1000)
    return connection


def _is_older(engine: Mapping[str, Any]) -> bool:
    if engine.get("embedded"):
        return False  # it lives inside its owner's process and cannot be handed over
    return version_key(str(engine.get("version", ""))) < version_key(__version__)


def _read_welcome(line: bytes) -> dict[str, Any]:
    try:
        welcome: object = json.loads(line)
    except ValueError:
        welcome = None
    if not isinstance(welcome, dict) or welcome.get("mcp_scheduler") != PROTOCOL:  # pyright: ignore[reportUnknownMemberType] - JSON
        raise DoorError(
            "What listens on the engine's socket does not speak this protocol.", hint="Is another version installed?"
        )
    return welcome  # pyright: ignore[reportUnknownVariableType] - JSON
