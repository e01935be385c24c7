"""The worker's connection to its engine: calls come in, results go out. One engine at a time.

A thread of its own attends to the socket, so that calls can be taken back, results be acknowledged and a new engine be
greeted while a call runs. The main thread takes calls from here and hands results back. Everything that says which
calls have begun and which results are owed changes under one lock, so that a greeting tells the truth.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple

from mcp_scheduler.sdk.durable import write_durably
from mcp_scheduler.sdk.frames import BrokenFrame, Splitter, frame
from mcp_scheduler.sdk.now import Now, boot_time, wall_time
from mcp_scheduler.sdk.output import private

CHUNK: Final = 1 << 16  # bytes; larger ones would be mapped and unmapped for every frame
BUFFER: Final = 1 << 20
HOLD: Final = 0.001  # seconds that an outcome may wait for others, while more calls do: each frame wakes the engine
TICK: Final = 0.005  # seconds until the attending thread sends what a long call has left waiting
SEND_PATIENCE: Final = 60  # seconds an engine may leave the socket full before it counts as gone


class Waiting(NamedTuple):
    """A call that has not begun. `connection_number` names the connection it came over: it is void with that."""

    connection_number: int
    attempt: str
    call: dict[str, Any]


class Link:
    """Both threads' meeting place. `attend` is the life of the attending thread; the other methods are the main
    thread's, except for `progress`, which is any thread's."""

    def __init__(self, listener: socket.socket, now: Now, *, worker: str, attempts: Path, alone: float) -> None:
        self._listener = listener
        self._now = now
        self._worker = worker
        self._attempts = attempts
        self._alone = alone
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._watched: socket.socket | None = None  # what the poll knows; it may have been given up already
        self._connection_number = 0
        self._splitter = Splitter()
        self._calls: SimpleQueue[Waiting | None] = SimpleQueue()
        self._owed: dict[str, str] = {}  # attempt → outcome, until the engine says that it is durable
        self._unsent: list[str] = []  # attempts whose outcome waits for others; the now file has it meanwhile
        self._send_by = 0.0  # when the first of them must go, by the monotonic clock
        self._acknowledged = threading.Event()
        self._greeted = False
        self.catalogue = "{}"
        self.code_changed: Callable[[], str] = lambda: ""
        self.ending = False
        self.yield_asked = ""  # the attempt that shall give way, if it can

    # -- the main thread

    def take(self) -> Waiting | None:
        """The next call, waited for. None: look whether the worker is ending."""
        return self._calls.get()

    def wake(self) -> None:
        """Let `take` return. Safe in a signal's code."""
        self._calls.put(None)

    def end(self) -> None:
        """No further call is begun."""
        self.ending = True
        self.wake()

    def begin(self, waiting: Waiting) -> int:
        """The call begins, in the now file and towards the engine; returns its sequence. 0 if it must not begin any
        more: its connection has ended, and with it the engine's belief that it is here."""
        while self._now.is_full and not self.ending and waiting.connection_number == self._connection_number:
            with self._lock:
                self._send_outcomes()
            self._acknowledged.clear()
            if self._now.is_full:
                self._acknowledged.wait(1.0)
        timeout = waiting.call.get("timeout")
        with self._lock:
            if waiting.connection_number != self._connection_number or self._now.is_full:
                return 0
            sequence = self._now.begin(waiting.attempt, timeout)
            if timeout or waiting.call.get("hedge"):  # the engine's clock for this call begins now
                self._send(json.dumps({"began": [waiting.attempt, wall_time()]}))
        return sequence

    def done(self, attempt: str, outcome: str) -> None:
        """The running call has ended; its outcome (JSON text) goes to the engine, or to disk where none is there. Short
        calls in a row share a frame: an outcome waits only where the now file keeps it and another call follows."""
        with self._lock:
            is_kept = self._now.end(outcome.encode(errors="replace"))
            self._owed[attempt] = outcome
            if self._connection is None:
                self._record([attempt])
                return
            now = time.monotonic()
            if not self._unsent:
                self._send_by = now + HOLD
            self._unsent.append(attempt)
            if not is_kept or self._calls.empty() or now >= self._send_by:
                self._send_outcomes()

    def leave(self, reason: str, unbegun: Iterable[str] = ()) -> None:
        """The last words: why, unless the last outcome said it; what is given back; and on disk what is owed. The why
        comes first: an engine that hears of calls given back gives others to a worker that it believes to stay."""
        with self._lock:
            self._connection_number += 1
            if reason:
                self._send(json.dumps({"retiring": reason}))
            self._send_outcomes()
            returned = [*unbegun, *self._drain()]
            if returned:
                self._send(json.dumps({"returned": returned}))
            self._record(self._owed)

    def progress(self, attempt: str, fraction: float | None, text: str) -> None:
        """Tell how far a call is; nobody hears it while no engine is there."""
        with self._lock:
            self._send(json.dumps({"progress": [attempt, fraction, text]}))

    def abandon(self) -> None:
        """In a forked child: the connection is the parent's alone."""
        self._lock = threading.Lock()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._listener.close()

    # -- the attending thread

    def attend(self) -> None:
        """Accept engines and read what they say, until the process ends."""
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        while True:
            is_alone = self._connection is None
            ready = poll.poll(self._alone * 1000 if is_alone else self._until_late())
            if self._unsent:
                self._send_late()
            if is_alone and not ready and self._now.running() is None:
                self.end()
            for fd, _ in ready:
                if fd == self._listener.fileno():
                    poll.register(self._welcome(poll), select.POLLIN)
                elif self._watched is not None and fd == self._watched.fileno():
                    self._receive(self._watched, poll)

    def _until_late(self) -> float | None:
        """Milliseconds until outcomes may have waited too long. None where none can wait: no call follows."""
        return TICK * 1000 if self._unsent or not self._calls.empty() else None

    def _send_late(self) -> None:
        with self._lock:
            if time.monotonic() >= self._send_by:
                self._send_outcomes()

    def _welcome(self, poll: select.poll) -> socket.socket:
        accepted, _ = self._listener.accept()
        connection = _moved_up(accepted)
        if self._watched is not None:
            self._part(self._watched, poll)
        self._watched = connection
        self._splitter = Splitter()
        with self._lock:
            self._connection = connection
            self._send(self._greeting())
            if not self._greeted:
                self._send(self.catalogue)
                self._greeted = True
            self._unsent = list(self._owed)
            self._send_outcomes()
        return connection

    def _greeting(self) -> str:
        running = self._now.running()
        began = None if running is None else wall_time() - (boot_time() - running.began)
        current = None if running is None else running.attempt
        return json.dumps({
            "hello": {
                "worker": self._worker, "pid": os.getpid(), "current": current, "began": began,
                "unacked": list(self._owed), "queued": [],
            }
        })  # fmt: skip

    def _receive(self, connection: socket.socket, poll: select.poll) -> None:
        try:
            chunk = connection.recv(CHUNK)
            for body in self._splitter.feed(chunk):
                self._obey(json.loads(body))
        except (OSError, BrokenFrame, ValueError, TypeError, KeyError):
            chunk = b""  # nothing sensible can follow: as if the engine had gone
        if not chunk:
            self._part(connection, poll)

    def _part(self, connection: socket.socket, poll: select.poll) -> None:
        poll.unregister(connection)
        with self._lock:
            if self._connection is connection:
                self._give_up()
        connection.close()
        self._watched = None

    def _obey(self, message: dict[str, Any]) -> None:
        for verb, value in message.items():
            if verb == "calls":
                for attempt, call in value:
                    self._calls.put(Waiting(self._connection_number, attempt, call))
            elif verb == "ack":
                self._forget(value)
            elif verb == "recall":
                self._give_back()
            elif verb == "yield":
                self.yield_asked = value
            elif verb == "describe":
                self._describe()
            elif verb == "bye":
                self.end()

    def _describe(self) -> None:
        """The catalogue as it was loaded; if the code has changed since, a fresh worker is the one to ask."""
        if self.code_changed():
            self.end()
            return
        with self._lock:
            self._send(self.catalogue)

    def _forget(self, attempts: list[str]) -> None:
        with self._lock:
            was_full = self._now.is_full
            for attempt in attempts:
                self._owed.pop(attempt, None)
                self._now.forget(attempt)
        if was_full:
            self._acknowledged.set()

    def _give_back(self) -> None:
        with self._lock:
            self._send(json.dumps({"returned": self._drain()}))

    # -- either thread, under the lock

    def _drain(self) -> list[str]:
        """Empty the queue; which calls of this connection were in it. A wake-up in it is passed on."""
        unbegun: list[str] = []
        try:
            while True:
                waiting = self._calls.get_nowait()
                if waiting is not None:
                    unbegun.append(waiting.attempt)
        except Empty:
            if self.ending:
                self._calls.put(None)
        return unbegun

    def _send_outcomes(self) -> None:
        unsent, self._unsent = self._unsent, []
        outcomes = ",".join([f'["{attempt}",{self._owed[attempt]}]' for attempt in unsent if attempt in self._owed])
        if outcomes:
            self._send(f'{{"done":[{outcomes}]}}')

    def _send(self, text: str) -> None:
        if self._connection is None:
            return  # nobody to tell: a new engine asks for what matters
        try:
            self._connection.sendall(frame(text.encode(errors="replace")))
        except OSError:
            self._give_up()

    def _give_up(self) -> None:
        """The connection is over: what has not begun is void, what is owed goes to disk."""
        connection, self._connection = self._connection, None
        self._connection_number += 1
        self._unsent = []
        self._drain()
        if connection is not None:
            with contextlib.suppress(OSError):  # the other side was faster
                connection.shutdown(socket.SHUT_RDWR)  # wakes the attending thread, which closes it
        self._record(self._owed)

    def _record(self, attempts: Iterable[str]) -> None:
        for attempt in attempts:
            record = f'{{"attempt":"{attempt}",{self._owed[attempt][1:]}'
            try:
                write_durably(self._attempts / f"{attempt}.exit", record.encode(errors="replace"))
            except OSError as error:  # a full disk: the next engine can still hear it from this process
                print(f"The exit record of {attempt} cannot be written: {error}", file=sys.stderr)  # noqa: T201


def _moved_up(accepted: socket.socket) -> socket.socket:
    """The connection on a descriptor that user code does not hit by accident."""
    connection = socket.socket(fileno=private(accepted.fileno()))
    accepted.close()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", SEND_PATIENCE, 0))
    return connection
