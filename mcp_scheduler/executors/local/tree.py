"""Finding and killing what is left of a process tree: the descendants of a subreaper, or all that carry a cookie."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path

COOKIE = "MCP_SCHEDULER_COOKIE"
_PROC = Path("/proc")


def descendants(root: int) -> list[int]:
    """Every living process below `root`, children before grandchildren. One pass over /proc."""
    return list(_family(root))


def _family(root: int) -> dict[int, int]:
    """As `descendants`, with the process group of each."""
    children: dict[int, list[tuple[int, int]]] = {}
    for pid in _pids():
        fields = _stat(pid)
        if fields and fields[0] != "Z":
            children.setdefault(int(fields[1]), []).append((pid, int(fields[2])))
    found: dict[int, int] = {}
    rows = [root]
    while rows:
        below = children.get(rows.pop(), [])
        found.update(below)
        rows += [pid for pid, _ in below]
    return found


def carriers(cookies: Iterable[str]) -> list[int]:
    """Every living process, except this one, that was started with one of these cookies in its environment."""
    marks = [f"{COOKIE}={cookie}".encode() for cookie in cookies]
    own = os.getpid()
    return [pid for pid in _pids() if pid != own and _carries(pid, marks)]


def strike(pids: Iterable[int], signum: int = signal.SIGKILL) -> None:
    """Signal each of these processes; one that is gone already is passed over."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signum)


def strike_below(root: int) -> int:
    """One round against everything below `root`; how many there were. To be repeated until nobody is left.

    Everything is held still first, so that none forks away, and whole process groups at once: whoever multiplies
    faster than /proc can be read does it within his group. `root` must lead a session of its own: then no group below
    it has members elsewhere.
    """
    left: dict[int, int] = {}
    held: set[int] = {os.getpgid(root)}
    while more := {pid: group for pid, group in _family(root).items() if pid not in left}:
        for group in set(more.values()) - held:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGSTOP)
        strike([pid for pid, group in more.items() if group in held], signal.SIGSTOP)
        held.update(more.values())
        left |= more
    strike(left)
    return len(left)


def strike_carriers(cookies: Iterable[str]) -> int:
    """One round against all that carry these cookies; how many there were. To be repeated until it returns 0.

    A process descriptor is opened before the cookie is looked at again: a pid that was reused meanwhile is safe.
    """
    marks = [f"{COOKIE}={cookie}".encode() for cookie in cookies]
    struck = 0
    for pid in carriers(cookies):
        try:
            handle = os.pidfd_open(pid)
        except OSError:
            continue  # gone meanwhile
        try:
            if _carries(pid, marks):
                struck += 1
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue  # gone, or another user's by setuid: nothing we could end
        finally:
            os.close(handle)
    return struck


def _pids() -> list[int]:
    return [int(name) for name in os.listdir(_PROC) if name.isdigit()]


def _stat(pid: int) -> list[str]:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _carries(pid: int, marks: list[bytes]) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            variables = file.read().split(b"\0")
    except OSError:
        return False
    return any(mark in variables for mark in marks)
