"""Who has not spoken to a new engine, told from the files of the run folder and from /proc."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mcp_scheduler.executors.local.folders import Berth
from mcp_scheduler.executors.local.held import Identity
from mcp_scheduler.sdk.now import Now


class Silent(NamedTuple):
    """`pid` is the shim's, 0 where nobody holds its lock any more; `attempts` what had begun with it."""

    pid: int
    attempts: tuple[str, ...]


def told(berths: Sequence[Berth]) -> list[Silent]:
    """Who they are, one for each. Looks at every process of this user: for the case that somebody is frozen."""
    wanted = {str(berth.lock): number for number, berth in enumerate(berths)}
    pids = [0] * len(berths)
    for pid, name in _open_files():
        if name in wanted:
            pids[wanted[name]] = pid
    return [Silent(pid, _begun(berth)) for pid, berth in zip(pids, berths, strict=True)]


def _open_files() -> Iterator[tuple[int, str]]:
    for process in os.listdir("/proc"):
        if process.isdigit() and int(process) != os.getpid():
            with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
                for file in os.listdir(f"/proc/{process}/fd"):
                    with contextlib.suppress(OSError):
                        yield int(process), os.readlink(f"/proc/{process}/fd/{file}")


def _begun(berth: Berth) -> tuple[str, ...]:
    """The command that the lock file names, or the calls that the now file does."""
    if name := Identity.read(berth).attempt:
        return (name,)
    try:
        fd = os.open(berth.now, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return ()
    try:
        now = Now(fd)
    except ValueError:
        return ()
    finally:
        os.close(fd)
    try:
        return tuple(now.begun())
    finally:
        now.close()
