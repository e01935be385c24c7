"""Which process belongs to which of our workers: by the cookie in its environment, and its ancestors' environments."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

COOKIE: Final = b"MCP_SCHEDULER_COOKIE="
ATTEMPT: Final = b"MCP_SCHEDULER_ATTEMPT="
LEASE: Final = b"MCP_SCHEDULER_LEASE="  # what a lease's holder runs: the lease is a tenant by its own name
_FIRST_NAMESPACE: Final = 0xEFFFFFFC  # the inode of the host's own pid namespace, fixed in the kernel
_START_TIME: Final = 19  # its place in /proc/<pid>/stat behind the program's name
_REMEMBERED: Final = 1024
_DEPTH: Final = 64  # ancestors that are looked at


class Mark(NamedTuple):
    """What a process of ours carries: its worker's cookie, and the attempt it was started for ("" for none); or the
    lease that its starter holds."""

    cookie: str
    attempt: str
    lease: str = ""

    def __bool__(self) -> bool:
        return bool(self.cookie or self.lease)


class Owners:
    """Tells whose a process is. `tenants` is a live view: cookie → tenant, as the engine knows them now.

    In a container the driver speaks of the host's pids, which mean other processes here, or none: there only a
    carrier of a cookie that has a device of the driver open is believed, and nobody is called a stranger.
    """

    def __init__(
        self, tenants: Mapping[str, str], *, proc: Path = Path("/proc"), in_container: bool | None = None
    ) -> None:
        self._tenants = tenants
        self._proc = proc
        self._in_container = _is_nested(proc) if in_container is None else in_container
        self._known: dict[int, tuple[str, Mark]] = {}  # pid → start time, mark

    def tenant(self, pid: int) -> str | None:
        """Whose the process is: a tenant, "" for somebody else (or for a tenant that is no more), None if nobody can
        tell."""
        mark = self.mark(pid)
        if mark is None:
            return None
        return self._tenants.get(mark.cookie, "") if mark.cookie else mark.lease

    def mark(self, pid: int) -> Mark | None:
        """What the process carries, `Mark("", "")` for a stranger; None if it is not to be seen from here."""
        started = self._started(pid)
        if not started:
            self._known.pop(pid, None)
            return None
        known = self._known.get(pid)
        if known is not None and known[0] == started:
            return known[1]
        mark = self._search(pid)
        if self._started(pid) != started:
            return None  # it ended while we looked, and the pid may mean another by now
        if mark:
            if self._in_container and not self._has_device_open(pid):
                return None
            if len(self._known) >= _REMEMBERED:
                self._known.clear()  # most of them ended long ago
            self._known[pid] = (started, mark)
        elif self._in_container:
            return None
        return mark

    def _search(self, pid: int) -> Mark:
        """The nearest mark on the way up: a program may have cleared its own environment."""
        for _ in range(_DEPTH):
            mark = self._carried(pid)
            if mark:
                return mark
            pid = self._parent(pid)
            if pid <= 1:
                break
        return Mark("", "")

    def _carried(self, pid: int) -> Mark:
        try:
            variables = (self._proc / str(pid) / "environ").read_bytes().split(b"\0")
        except OSError:
            return Mark("", "")  # another user's, so not ours, or gone
        cookie = _value(variables, COOKIE)
        return Mark(cookie, _value(variables, ATTEMPT), "" if cookie else _value(variables, LEASE))

    def _stat(self, pid: int) -> list[str]:
        try:
            text = (self._proc / str(pid) / "stat").read_text(errors="replace")
        except OSError:
            return []
        return text.rpartition(")")[2].split()

    def _started(self, pid: int) -> str:
        """Start time in clock ticks since boot: with the pid it names one process for ever. "" if there is none."""
        fields = self._stat(pid)
        return fields[_START_TIME] if len(fields) > _START_TIME else ""

    def _parent(self, pid: int) -> int:
        fields = self._stat(pid)
        return int(fields[1]) if fields else 0

    def _has_device_open(self, pid: int) -> bool:
        try:
            files = list((self._proc / str(pid) / "fd").iterdir())
            return any(os.readlink(file).startswith("/dev/nvidia") for file in files)
        except OSError:
            return False


def _value(variables: list[bytes], name: bytes) -> str:
    for variable in variables:
        if variable.startswith(name):
            return os.fsdecode(variable[len(name) :])
    return ""


def _is_nested(proc: Path) -> bool:
    try:
        return (proc / "self" / "ns" / "pid").stat().st_ino != _FIRST_NAMESPACE
    except OSError:
        return True
