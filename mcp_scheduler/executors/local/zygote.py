"""The zygote: a small, single-threaded program, started clean by the engine, that forks a shim in about 2 ms.

Run by path (`python -I -S zygote.py LOCK`) with its end of a socket pair as standard input. It holds the lock file for
life: while it is held, a worker may still appear. One JSON object a line:
`{"fork": order}` is answered by `{"forked": {"worker", "pid"}}` or `{"failed": {"worker", "error"}}`. It ends when
the engine's end is closed; the shims live on.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import select
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # last on the path: a module of this package must never hide one of the standard library
    sys.path.append(str(Path(__file__).resolve().parents[3]))

from mcp_scheduler.executors.local import command_shim, shim
from mcp_scheduler.executors.local.held import COMMAND, Held
from mcp_scheduler.executors.local.process import catch_children, patiently


class Zygote:
    """Reads orders, prepares what a shim holds, forks it, and collects the shims that have ended."""

    def __init__(self, engine: socket.socket, lock: int) -> None:
        self._engine = engine
        self._lock = lock
        self._rest = b""
        self._children = catch_children()

    def serve(self) -> None:
        """Until the engine is gone."""
        poll = select.poll()
        poll.register(self._engine, select.POLLIN)
        poll.register(self._children, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == self._children.fileno():
                    self._collect()
                elif not self._read():
                    return

    def _collect(self) -> None:
        self._children.recv(4096)
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return

    def _read(self) -> bool:
        try:
            chunk = self._engine.recv(1 << 18)
        except ConnectionResetError:  # the engine was killed with an answer unread
            return False
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._answer(self._fork(json.loads(line)["fork"]))
        return bool(chunk)

    def _fork(self, order: dict[str, Any]) -> dict[str, Any]:
        worker = order["worker"]
        try:
            held = Held.prepare(order) if order["kind"] == COMMAND else shim.WorkerHeld.prepare(order)
        except OSError as error:
            return {"failed": {"worker": worker, "error": f"cannot prepare a shim in {order['run']}: {error}"}}
        try:
            pid = patiently(os.fork)
        except OSError as error:  # the limit of processes, or no memory
            held.abandon()
            return {"failed": {"worker": worker, "error": f"cannot start a process: {error}"}}
        if pid == 0:
            self._become_shim(order, held)
        held.close()
        return {"forked": {"worker": worker, "pid": pid}}

    def _become_shim(self, order: dict[str, Any], held: Held) -> None:
        """In the new process. Whatever happens, the zygote's own code must not go on here."""
        code = 1
        try:
            self._engine.close()
            os.close(self._lock)
            signal.set_wakeup_fd(-1)
            self._children.close()
            if isinstance(held, shim.WorkerHeld):
                code = shim.supervise(order, held)
            else:
                code = command_shim.supervise(order, held)
        except BaseException:  # noqa: BLE001 (the last line of defence of a process: told in the log, then the end)
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _answer(self, message: dict[str, Any]) -> None:
        try:
            self._engine.sendall(json.dumps(message).encode() + b"\n")
        except (BrokenPipeError, ConnectionResetError):
            return  # the engine is gone; the next read says so too


def main() -> None:
    os.umask(0o077)
    lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_SH)
    engine = socket.socket(fileno=os.dup(0))
    devnull = os.open(os.devnull, os.O_RDWR)
    os.dup2(devnull, 0)
    os.dup2(devnull, 1)
    for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)  # the engine decides: a terminal's Ctrl-C must not end running work
    gc.collect()
    gc.freeze()  # pages that the collector does not touch stay shared with the shims
    Zygote(engine, lock).serve()


if __name__ == "__main__":
    main()
