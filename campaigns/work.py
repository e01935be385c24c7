"""The functions that a campaign has run: each bears witness of its attempts.

Copied into the folder of a campaign, and run there by the workers: standard library only.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import AbstractContextManager

from witness import witnessed

from mcp_scheduler import current_task, function


def _witnessed(token: str, most: int = 1) -> AbstractContextManager[int]:
    task = current_task()
    return witnessed(token, task.id, task.attempt, most)


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


@function(idempotent=True)
def copied(token: str, value: int, seconds: float, most: int) -> int:
    """So many of it may run at once; each takes a time of its own."""
    with _witnessed(token, most):
        time.sleep(seconds * current_task().attempt)
        return 2 * value


@function(idempotent=True)
def sometimes_late(token: str, value: int) -> int:
    """Its first attempt now and then takes its time: a case for a hedge."""
    with _witnessed(token, 2):
        time.sleep(3.0 if value % 8 == 0 and current_task().attempt == 1 else 0.05)
        return 2 * value


@function
def reading(token: str, value: int, name: str) -> int:
    """Of the file that it was given, which the client changed long ago."""
    with _witnessed(token):
        file = current_task().inputs / name
        told = file.read_text()
        file.write_text("its own copy: nobody else sees this")
        if told != f"{token} {value}":
            raise ValueError(f"the input reads {told!r}")
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
    import subprocess  # noqa: PLC0415 (here alone: campaigns start thousands of workers)

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
