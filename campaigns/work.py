"""The functions that a campaign has run. Each bears witness outside of the scheduler, in files beside this module.

- `alive/<task>` is locked for as long as an attempt of the task lives: the kernel gives the lock back with the last
  process that holds it, so a second attempt that finds it taken has caught two alive at once.
- `runs/<token> <task> <attempt>` is made with O_EXCL when the attempt begins, `ends/...` when it is through.
- `violations` collects, a line each, what must never happen.

Copied into the folder of a campaign, and run there by the workers: standard library only.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mcp_scheduler import current_task, function

FOLDER = Path(__file__).resolve().parent


@contextmanager
def _witnessed(token: str) -> Iterator[int]:
    """Bear witness of this attempt; yields its number and the descriptor of its lock."""
    task = current_task()
    lock = os.open(FOLDER / "alive" / task.id, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 100, 0).decode()
        _violation(f"two attempts alive: {task.id}.{task.attempt} (pid {os.getpid()}) began beside {holder}")
    os.pwrite(lock, f"{task.id}.{task.attempt} (pid {os.getpid()})".encode(), 0)
    name = f"{token} {task.id} {task.attempt}"
    _make("runs", name)
    try:
        yield lock
        _make("ends", name)
    finally:
        os.close(lock)


def _make(folder: str, name: str) -> None:
    try:
        file = os.open(FOLDER / folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        _violation(f"one attempt ran twice: {folder}/{name}")
        return
    os.write(file, f"{os.getpid()} {time.clock_gettime(time.CLOCK_BOOTTIME)}".encode())
    os.close(file)


def _violation(text: str) -> None:
    file = os.open(FOLDER / "violations", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(file, text.encode() + b"\n")
    os.close(file)


@function
def quick(token: str, value: int) -> int:
    """Over at once."""
    with _witnessed(token):
        return 2 * value


@function
def steady(token: str, value: int, seconds: float) -> int:
    """Takes its time."""
    with _witnessed(token):
        time.sleep(seconds)
        return 2 * value


@function(idempotent=True)
def repeatable(token: str, value: int, seconds: float) -> int:
    """May be run again when nobody knows how it ended."""
    with _witnessed(token):
        time.sleep(seconds)
        return 2 * value


@function
def flaky(token: str, value: int, failures: int) -> int:
    """Fails as often as it is told, then succeeds."""
    with _witnessed(token):
        if current_task().attempt <= failures:
            raise ValueError(f"attempt {current_task().attempt} fails by order")
        return 2 * value


@function
def chatty(token: str, value: int, lines: int) -> int:
    """Prints a lot."""
    with _witnessed(token):
        for number in range(lines):
            print(f"{number:07d}")
        return 2 * value


@function
def big(token: str, value: int, size: int) -> str:
    """A result that does not fit into a row."""
    with _witnessed(token):
        return str(value % 10) * size


@function
def daemonic(token: str, value: int, seconds: float) -> int:
    """Leaves a child behind that hears no SIGTERM, has a session of its own and holds the lock of this attempt."""
    with _witnessed(token) as lock:
        program = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        child = subprocess.Popen([sys.executable, "-c", program], start_new_session=True, pass_fds=[lock])
        try:
            time.sleep(seconds)
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
        return 2 * value


@function
def endless(token: str) -> None:
    """Ends by a cancel or by its timeout only."""
    with _witnessed(token):
        time.sleep(600)


@function
def until(token: str, file: str) -> str:
    """Waits until a file is there."""
    with _witnessed(token):
        while not os.path.exists(file):
            time.sleep(0.01)
        return "seen"


@function(idempotent=True)
def until_repeatable(token: str, file: str) -> str:
    """The same, and may be run again."""
    with _witnessed(token):
        while not os.path.exists(file):
            time.sleep(0.01)
        return "seen"


@function
def total(token: str, values: list[int]) -> int:
    """What others returned, added up."""
    with _witnessed(token):
        return sum(values)
