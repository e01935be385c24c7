"""A stand-in engine: the owner's protocol, spoken by a thread of the test over a real socket."""

import json
import os
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mcp_scheduler.errors import SchedulerError


@dataclass
class Ran:
    """How a verb ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


class StandIn:
    """Answers each method with what the test has put into `answers`: a value, an error, or a function of the params.
    `calls` are the requests that came, `hellos` the greetings."""

    def __init__(self, home):
        self.home = home
        self.answers = {}
        self.calls = []
        self.hellos = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._open = set()
        self._threads = []

    def __enter__(self):
        self.home.prepare()
        address = Path(self.home.socket_folder(), "engine.sock")
        self._listener.bind(str(address))
        address.chmod(0o600)
        self._listener.listen()
        self._run(self._accept)
        return self

    def __exit__(self, *_):
        for sock in [self._listener, *self._open]:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def asked(self, method):
        """The params of the calls of `method`."""
        return [params for name, params in self.calls if name == method]

    def _run(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._open.add(sock)
            self._run(self._serve, sock)

    def _serve(self, sock):
        with suppress(OSError), sock, sock.makefile("rwb") as file:
            hello = file.readline()
            if not hello:
                return  # somebody only looked whether an engine runs
            self.hellos.append(json.loads(hello))
            self._write(
                file, {"mcp_scheduler": 1, "engine": {"pid": os.getpid(), "version": "9.9.9", "embedded": True}}
            )
            for line in file:
                request = json.loads(line)
                self._write(file, {"jsonrpc": "2.0", "id": request["id"]} | self._answer(request))

    def _answer(self, request):
        method, params = request["method"], request["params"]
        self.calls.append((method, params))
        answer = self.answers[method]
        try:
            result = answer(params) if callable(answer) else answer
            if isinstance(result, SchedulerError):
                raise result
        except SchedulerError as error:
            data = {"code": error.code, "hint": error.hint, "facts": error.facts}
            return {"error": {"code": -32000, "message": error.message, "data": data}}
        return {"result": result}

    @staticmethod
    def _write(file, message):
        file.write(json.dumps(message).encode() + b"\n")
        file.flush()


def task(name="train-7f3k9q2m", state="queued", **more):
    """A task as the engine's JSON shows it."""
    return {"id": name, "state": state, "call": "function tools.train", "submitted_at": 1_700_000_000.0, **more}
