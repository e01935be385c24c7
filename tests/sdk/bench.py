"""A stand-in for engine and shim around a real worker: enough to drive it, nothing more."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections import defaultdict
from pathlib import Path

from mcp_scheduler.sdk import worker
from mcp_scheduler.sdk.frames import Splitter, frame
from mcp_scheduler.sdk.now import Now

PATIENCE = 20.0
PYTHON = os.environ.get("WORKER_PYTHON", sys.executable)


UNSAID = {"reason": None, "error": "", "result": None, "result_file": ""}  # what an outcome leaves out means this


def whole(message):
    """The message, with all that its outcomes leave out."""
    if "done" in message:
        message["done"] = [[name, {**UNSAID, **outcome}] for name, outcome in message["done"]]
    return message


class Engine:
    """One connection to the worker. `expect` reads until a message with the verb comes; others are kept for later."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(address)
        self._splitter = Splitter()
        self._kept = []

    def send(self, **message):
        self.socket.sendall(frame(json.dumps(message).encode()))

    def call(self, attempt, function, timeout=None, **arguments):
        call = {"function": function, "arguments": arguments, "name": "n", "timeout": timeout}
        self.send(calls=[[attempt, call]])

    def expect(self, verb):
        return self.next(verb)[verb]

    def next(self, *verbs):
        while True:
            for message in self._kept:
                if message.keys() & set(verbs):
                    self._kept.remove(message)
                    return message
            chunk = self.socket.recv(1 << 16)
            assert chunk, f"the worker hung up before {verbs}"
            self._kept.extend(whole(json.loads(body)) for body in self._splitter.feed(chunk))

    def done(self, attempt):
        while True:
            ends = self.expect("done")
            for index, (name, outcome) in enumerate(ends):
                if name == attempt:
                    if ends[index + 1 :]:
                        self._kept.insert(0, {"done": ends[index + 1 :]})
                    return outcome

    def result(self, attempt, function, **arguments):
        self.call(attempt, function, **arguments)
        outcome = self.done(attempt)
        assert outcome["reason"] is None, outcome["error"]
        return json.loads(outcome["result"])

    def run(self, code, attempt="r-1.1"):
        """What `result` is after this code."""
        return self.result(attempt, "fns.run", code=code)

    def failure(self, attempt, function, **arguments):
        self.call(attempt, function, **arguments)
        outcome = self.done(attempt)
        assert outcome["reason"] is not None, outcome
        return outcome

    def close(self):
        self.socket.close()


class Gate:
    """Two FIFOs: a call tells through one that it is there, and waits at the other."""

    def __init__(self, folder):
        self.arguments = {name: str(folder / name) for name in ("began", "go")}
        for path in self.arguments.values():
            os.mkfifo(path)
        self._files = {name: os.open(path, os.O_RDWR) for name, path in self.arguments.items()}

    def reached(self):
        ready, _, _ = select.select([self._files["began"]], [], [], PATIENCE)
        assert ready, "nobody came to the gate"

    def open(self):
        os.write(self._files["go"], b"through\n")

    def close(self):
        for file in self._files.values():
            os.close(file)


class Bench:
    """A worker over a folder of its own, with a pump for its output. WORKER_PYTHON names another interpreter for it."""

    def __init__(self, folder: Path, python=PYTHON):
        self.folder = folder
        self.python = python
        for name in ("attempts", "results", "tasks"):
            (folder / name).mkdir()
        self.process = None
        self.engines = []
        self.gates = []
        self.printed = defaultdict(bytes)
        self.runtime = tempfile.TemporaryDirectory(prefix="w")  # a short path: socket addresses are limited
        self.address = f"{self.runtime.name}/s"

    def write(self, name, text):
        path = self.folder / name
        path.write_text(textwrap.dedent(text))
        return str(path)

    def start(self, *sources, path=(), env=None, **limits):
        self._started = (sources, path, env, limits)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.address)
        listener.listen()
        fd = Now.create(str(self.folder / "now"))
        self.now = Now(fd)
        order = {
            "worker": "w1", "listen_fd": listener.fileno(), "now_fd": fd, "sources": list(sources), "path": list(path),
            "limits": limits, **{name: str(self.folder / name) for name in ("attempts", "results", "tasks")},
        }  # fmt: skip
        reading, writing = os.pipe()
        self.process = subprocess.Popen(
            [self.python, worker.__file__],
            env={"PATH": os.environ["PATH"], **(env or {}), "MCP_SCHEDULER_WORKER": json.dumps(order)},
            pass_fds=(listener.fileno(), fd), stdin=subprocess.DEVNULL, stdout=writing, stderr=subprocess.STDOUT,
            cwd=self.folder,
        )  # fmt: skip
        listener.close()
        os.close(fd)
        os.close(writing)
        self._stopping, self._wakes = os.pipe()
        self._pump = threading.Thread(target=self._carry, args=(reading,))
        self._pump.start()
        return self.connect()

    def _carry(self, reading):
        while True:
            ready, _, _ = select.select([reading, self._stopping], [], [])
            if reading not in ready:
                break
            self.now.pumping = True
            running = self.now.running()
            chunk = os.read(reading, 65536)
            self.printed[running.attempt if running else ""] += chunk
            self.now.pumping = False
            if not chunk:
                break
        os.close(reading)

    def restart(self):
        """A fresh worker in the place of one that has ended."""
        sources, path, env, limits = self._started
        self._end_process()
        Path(self.address).unlink()
        (self.folder / "now").unlink()
        return self.start(*sources, path=path, env=env, **limits)

    def gate(self):
        self.gates.append(Gate(self.folder))
        return self.gates[-1]

    def connect(self):
        engine = Engine(self.address)
        self.engines.append(engine)
        return engine

    def stop(self, attempt, reason):
        running = self.now.running()
        if attempt is None:
            self.now.ask_end()
        elif running is not None and running.attempt == attempt:
            self.now.ask_stop(running.sequence, reason)
        self.process.send_signal(signal.SIGTERM)

    def record(self, attempt):
        return json.loads((self.folder / "attempts" / f"{attempt}.exit").read_text())

    def exit_code(self):
        return self.process.wait(PATIENCE)

    def close(self):
        for opened in (*self.engines, *self.gates):
            opened.close()
        if self.process is not None:
            self._end_process()
        self.runtime.cleanup()

    def _end_process(self):
        self.process.kill()
        self.process.wait()
        os.close(self._wakes)
        self._pump.join(PATIENCE)
        os.close(self._stopping)
        self.now.close()
