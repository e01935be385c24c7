"""Functions that tests run in real workers. Gates are FIFOs: a call tells through one that it has begun, and waits at
the other until the test opens it."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from mcp_scheduler import current_task, function


@function
def count_by_turns(gate: str, began: str) -> int:
    """Gives way as often as it is asked; every attempt counts on from what the last one has left."""
    task = current_task()
    kept = task.folder / "count"
    count = int(kept.read_text()) if kept.exists() else 0
    _tell(began)
    while not count:
        if task.should_yield():
            kept.write_text("1")
            task.give_way()
        time.sleep(0.005)
    return count + 1


@function
def echo(value: object = None) -> object:
    return value


@function
def fail(text: str) -> None:
    raise ValueError(text)


@function
def say(text: str, error: str = "") -> None:
    print(text)
    sys.stderr.write(error)


@function
def wait(gate: str, began: str = "") -> str:
    """Tells its pid through `began`, then waits at the gate."""
    with Path(gate).open() as opened:
        _tell(began)
        return opened.read()


@function
def ignore_stop(gate: str, began: str) -> None:
    """Waits at the gate whatever SIGTERM and exceptions say."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with Path(gate).open() as opened:
        _tell(began)
        opened.read()


@function
def leave_daemon(gate: str, began: str) -> None:
    """A double fork with a session of its own, deaf to SIGTERM; then waits."""
    code = (
        "import os, signal, sys\n"
        "if os.fork(): os._exit(0)\n"
        "os.setsid()\n"
        "if os.fork(): os._exit(0)\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "open(sys.argv[1], 'w').write(str(os.getpid()))\n"
        "signal.pause()\n"
    )
    subprocess.run([sys.executable, "-c", code, began], check=True)
    with Path(gate).open() as opened:
        opened.read()


@function
def pid() -> int:
    """Who runs this."""
    return os.getpid()


@function
def exit_hard(code: int) -> None:
    sys.stdout.write("on the way out\n")
    os._exit(code)


@function
def kill_self(signum: int) -> None:
    os.kill(os.getpid(), signum)


@function
def segfault() -> None:
    ctypes.string_at(0)


@function
def flood(mebibytes: int) -> int:
    """Prints numbered lines of 1,024 bytes; how many."""
    for number in range(mebibytes * 1024):
        sys.stdout.write(f"{number:01023d}\n")
    return mebibytes * 1024


@function
def big(size: int) -> str:
    return "x" * size


@function(timeout=60)
def attempt_and_folder() -> list:
    task = current_task()
    return [task.id, task.attempt, str(task.folder), list(task.devices), os.environ["MCP_SCHEDULER_ATTEMPT"]]


def _tell(began: str) -> None:
    if began:
        Path(began).write_text(str(os.getpid()))


@function
def tell_progress() -> None:
    current_task().progress(0.5, "half way")


@function
def unspeakable() -> object:
    return object()


@function
def wait_and_say(gate: str, began: str) -> str:
    with Path(gate).open() as opened:
        _tell(began)
        word = opened.read()
    sys.stdout.write("said alone\n")
    return word


@function
def note(ledger: str) -> None:
    """Every run leaves a line."""
    with Path(ledger).open("a") as file:
        file.write(os.environ["MCP_SCHEDULER_ATTEMPT"] + "\n")
