"""Finding and killing what is left of a process tree: the descendants of a subreaper, or all that carry a cookie."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

COOKIE = "MCP_SCHEDULER_COOKIE"
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Member:
    """A process below the root. One that has ended and was not collected yet still tells its group: whoever took its
    place, faster than /proc can be read, is in that."""

    group: int
    is_alive: bool


def descendants(root: int) -> list[int]:
    """Every living process below `root`, children before grandchildren. One pass over /proc."""
    return [pid for pid, member in _family(root).items() if member.is_alive]


def _family(root: int) -> dict[int, Member]:
    children: dict[int, list[tuple[int, Member]]] = {}
    for pid in _pids():
        fields = _stat(pid)
        if fields:
            children.setdefault(int(fields[1]), []).append((pid, _member(fields)))
    return _gathered(root, lambda parent: children.get(parent, []))


def _near(root: int) -> dict[int, Member]:
    """As `_family`, from the kernel's own lists of children: a hundred times faster where there is much else in /proc,
    but it may overlook somebody while others come and go, and not every kernel has them."""

    def children(parent: int) -> Iterable[tuple[int, Member]]:
        for pid in _children(parent):
            fields = _stat(pid)
            if fields:
                yield pid, _member(fields)

    return _gathered(root, children)


def _gathered(root: int, children: Callable[[int], Iterable[tuple[int, Member]]]) -> dict[int, Member]:
    found: dict[int, Member] = {}
    rows = [root]
    while rows:
        below = dict(children(rows.pop()))
        found.update(below)
        rows += below
    return found


def is_stopped(pid: int) -> bool:
    """Whether a signal has stopped this process (state T), or a debugger holds it. One that is gone is not."""
    try:
        # Asked for every running task that is looked at: a path object would take five times as long.
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            state = file.read(512).rpartition(b")")[2][1:2]
    except OSError:
        return False
    return state in (b"T", b"t")


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):  # it ended meanwhile
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += [int(word) for word in file.read().split()]
    return found


def _member(fields: list[str]) -> Member:
    return Member(int(fields[2]), fields[0] not in "ZX")


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


def hold_below(root: int) -> set[int]:
    """Stop everything below `root` (SIGSTOP), so that none forks away: whole process groups at once, because whoever
    multiplies faster than /proc can be read does it within his group. `root` must lead a session of its own: then no
    group below it has members elsewhere. Who there was."""
    left: set[int] = set()
    held: set[int] = {os.getpgid(root)}
    for look in (_near, _near, _near, _family, _family):  # the fast one for who multiplies, the thorough for the rest
        if not _hold(look(root), left, held) and look is _family:
            break
    return left


def strike_below(root: int) -> int:
    """One round against everything below `root`, which is held still first; how many there were. To be repeated until
    nobody is left."""
    left = hold_below(root)
    strike(left)
    return len(left)


def _hold(family: dict[int, Member], left: set[int], held: set[int]) -> bool:
    """Stop who is not stopped yet; whether there was anybody."""
    fresh = {pid: member.group for pid, member in family.items() if member.is_alive and pid not in left}
    groups = {member.group for member in family.values()} - held
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGSTOP)
    strike([pid for pid, group in fresh.items() if group in held], signal.SIGSTOP)
    held |= groups
    left.update(fresh)
    return bool(fresh or groups)


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
