"""What a shim holds from before its birth, and what its lock file says about it.

The zygote prepares it before the fork, so that an engine can connect the moment it hears `forked`. The lock file is
locked for as long as the shim lives: liveness without heartbeats, and without reused pids. Its first line says who the
shim is. A shim of commands adds a line when a run begins: who finds the file without a holder knows what had begun
last.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp_scheduler.executors.local import process
from mcp_scheduler.executors.local.folders import Berth

COMMAND = "command"
WORKER = "worker"


def take_lock(berth: Berth, who: dict[str, Any]) -> int:
    """A new lock file, held, with its first line. Errors: OSError."""
    lock = os.open(berth.lock, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_APPEND, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    add_line(lock, {**who, "boot": process.boot_id()})
    return lock


def add_line(lock: int, told: dict[str, Any]) -> None:
    """One write: it is there as a whole or not at all, whatever is killed."""
    os.write(lock, json.dumps(told).encode() + b"\n")


def listen(path: Path) -> socket.socket:
    """A socket that engines connect to."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(8)
    listener.setblocking(False)
    return listener


def is_held(berth: Berth) -> bool:
    """Whether the shim lives: the kernel drops its lock with its last breath, and not before."""
    try:
        fd = os.open(berth.lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a shim is, and what it runs. `cookie` is "" for one of an earlier boot; `attempt` names the command that
    was the last to begin ("" for none, and for workers), `leaf` its control group."""

    kind: str = WORKER
    environment: str = ""
    cookie: str = ""
    attempt: str = ""
    leaf: str = ""

    @classmethod
    def read(cls, berth: Berth) -> Identity:
        """From the lock file; nobody, where the shim was killed before it had written it."""
        try:
            first, *others = berth.lock.read_bytes().splitlines()
            who: dict[str, str] = json.loads(first)
            last: dict[str, str] = json.loads(others[-1]) if others else {}
        except (OSError, ValueError):
            return cls()
        cookie = last.get("cookie", who.get("cookie", ""))
        kind, attempt = who.get("kind", WORKER), last.get("attempt", "")
        if who["boot"] != process.boot_id():
            return cls(kind, who["environment"], attempt=attempt)
        return cls(kind, who["environment"], cookie, attempt, last.get("leaf", ""))


class Held:
    """What every shim holds: its files, the lock, and the socket that engines connect to."""

    def __init__(self, berth: Berth, lock: int, control: socket.socket) -> None:
        self.berth, self.lock, self.control = berth, lock, control

    @classmethod
    def prepare(cls, order: dict[str, Any]) -> Held:
        """For a shim of commands. Errors: OSError, and then nothing is left behind."""
        berth = Berth(Path(order["run"]), order["worker"])
        try:
            who = {"worker": order["worker"], "kind": COMMAND, "environment": order["environment"]}
            return cls(berth, take_lock(berth, who), listen(berth.control))
        except OSError:
            berth.remove()
            raise

    def close(self) -> None:
        """Give up this process's share; the files and the lock live on in the process that was forked."""
        os.close(self.lock)
        self.control.close()

    def abandon(self) -> None:
        """Nobody was forked: take everything away."""
        self.close()
        self.berth.remove()
