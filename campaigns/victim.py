"""A command that does not want to end: `python victim.py KIND TOKEN UP`. It writes the file UP when it is at its worst.

Copied into the folder of a campaign, and run there by the scheduler: standard library only. Whatever it starts has
TOKEN among its arguments, so that a witness finds it, and nothing that the scheduler could know it by where that can
be avoided. Every kind is bounded: a hundred megabytes, `CHAINS` processes at a time, or a limit of the system.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

FLOOD = 100_000_000  # bytes of output
CHAINS = 12  # processes that are replaced by their children
LIFE = 0.03  # seconds that each of them lives
LIMIT = 40  # processes that a bomb may have: beyond them the system refuses every fork
LONG = 600.0  # seconds: longer than any limit of a campaign


def deaf(up: Path) -> None:
    """Hears none of the polite signals."""
    _ignore_all()
    up.touch()
    time.sleep(LONG)


def daemon(up: Path) -> None:
    """Leaves a deaf grandchild behind: own session, orphan, empty environment (the scheduler's mark is gone)."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execve(sys.executable, [sys.executable, __file__, "deaf", sys.argv[2], str(up)], {})
        os._exit(0)
    time.sleep(LONG)


def stopped(up: Path) -> None:
    """Stands still, and so does its child: a stopped process hears no SIGTERM."""
    child = os.fork()
    if child == 0:
        _ignore_all()
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(LONG)
    os.waitpid(child, os.WUNTRACED)
    up.touch()
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(LONG)


def flood(up: Path) -> None:
    """Prints as fast as it can."""
    line = b"x" * 99 + b"\n"
    for _ in range(FLOOD // (1000 * len(line))):
        os.write(1, line * 1000)
    up.touch()
    time.sleep(LONG)


def storm(up: Path) -> None:
    """Processes that are gone before anybody has read their number: each forks the next and ends. A third of these
    chains stays in the first group, a third has a group of its own, a third changes it with every process."""
    _ignore_all()
    for number in range(CHAINS):
        if os.fork() == 0:
            if number % 3 == 1:
                os.setsid()
            _chain(changes=number % 3 == 2)
    up.touch()
    time.sleep(LONG)


def _chain(*, changes: bool) -> None:
    until = time.monotonic() + LONG
    while time.monotonic() < until:
        if os.fork():
            os._exit(0)
        if changes:
            os.setsid()
        time.sleep(LIFE)
    os._exit(0)


def bomb(up: Path) -> None:
    """Each of its processes forks as often as the system lets it: whenever one is killed, another takes its place."""
    _ignore_all()
    up.touch()
    _limit_processes()
    while True:
        try:
            os.fork()
        except BlockingIOError:
            time.sleep(LIFE)


def _limit_processes() -> None:
    """The system counts them by user, and does not count root's: so root becomes somebody whom nobody else is."""
    present = 0
    if os.getuid() == 0:
        os.setgroups([])
        os.setuid(60_000 + os.getpid() % 5_000)
    else:
        for path in Path("/proc").glob("[0-9]*/task/*"):
            with suppress(OSError):  # it ended meanwhile
                present += path.stat().st_uid == os.getuid()
    resource.setrlimit(resource.RLIMIT_NPROC, (present + LIMIT, present + LIMIT))


def _ignore_all() -> None:
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(signum, signal.SIG_IGN)


KINDS = {"deaf": deaf, "daemon": daemon, "stopped": stopped, "flood": flood, "storm": storm, "bomb": bomb}

if __name__ == "__main__":
    KINDS[sys.argv[1]](Path(sys.argv[3]))
