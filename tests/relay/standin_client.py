"""A client of a real relay, and the home in which stand-in engines serve it."""

import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path

from mcp_scheduler.home import Home

HERE = Path(__file__).parent
LIMIT = 60.0  # seconds that anything may take on a busy machine


def wait_until(condition, what, limit=LIMIT):
    """Poll until `condition()` is true; the test fails after `limit` seconds."""
    until = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < until, f"not within {limit} s: {what}"
        select.select([], [], [], 0.005)


class StandInHome(Home):
    """A home whose engines are stand-ins, with what they have noted."""

    def notes(self):
        path = Path(self.file("notes"))
        return [line.split(" ", 1) for line in path.read_text().splitlines()] if path.exists() else []

    def engines(self):
        """Process ids of the engines that have served, in order."""
        return [int(pid) for pid, text in self.notes() if text == "listens"]

    def seen(self, text):
        return sum(1 for _, note in self.notes() if note == text)

    def wait_for_note(self, text, times=1):
        wait_until(lambda: self.seen(text) >= times, f"the engine notes {text!r}, {self.notes()}")

    def kill_engine(self):
        kill(self.engines()[-1])


def kill(pid, number=signal.SIGKILL):
    """End a process and wait until it has ended; an ended one is fine."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(handle, signal.SIGCONT)
        signal.pidfd_send_signal(handle, number)
        assert select.select([handle], [], [], LIMIT)[0], f"process {pid} does not end"
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)


def processes_of(home):
    """Process ids of everything that was started for the home, the engine that has not yet said so included."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if home.path.encode() in words:
                found.append(int(folder.name))
    return found


class Client:
    """An MCP client at the end of a relay's pipes."""

    def __init__(self, home, *options, program=HERE / "relay_main.py", environ=None):
        self.process = subprocess.Popen(
            [sys.executable, str(program), home.path, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(HERE.parents[1]), **(environ or {})},
        )
        self.buffer = b""
        self.others = []  # messages that were not waited for

    def send_bytes(self, line):
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def send(self, method, number=None, **params):
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        self.send_bytes(json.dumps(message | ({} if number is None else {"id": number})).encode() + b"\n")

    def is_read(self):
        """Whether the relay has read everything that was sent."""
        waiting = fcntl.ioctl(self.process.stdin, termios.FIONREAD, struct.pack("i", 0))
        return struct.unpack("i", waiting)[0] == 0

    def receive(self, limit=LIMIT):
        """The next message, of any kind; None at the end of the stream."""
        until = time.monotonic() + limit
        output = self.process.stdout.fileno()
        while b"\n" not in self.buffer:
            assert select.select([output], [], [], max(0, until - time.monotonic()))[0], f"silence for {limit} s"
            chunk = os.read(output, 1 << 20)
            if not chunk:
                return None
            self.buffer += chunk
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def answer_to(self, number):
        """The answer to request `number`; everything else is put aside in `others`."""
        while True:
            message = self.receive()
            assert message is not None, f"the relay ended: {self.process.stderr.read().decode()}"
            if "method" not in message and message.get("id") == number and type(message["id"]) is type(number):
                return message
            self.others.append(message)

    def call(self, method, number, **params):
        self.send(method, number, **params)
        return self.answer_to(number)

    def handshake(self):
        answer = self.call("initialize", 0, protocolVersion="2025-11-25")
        self.send("notifications/initialized")
        return answer

    def wait(self, limit=LIMIT):
        """The relay's exit code."""
        return self.process.wait(limit)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with suppress(BrokenPipeError):  # something was still to be written
                pipe.close()
