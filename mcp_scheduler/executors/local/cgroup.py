"""A control group for each command, where this user has been given one to divide: killed as a whole, at once.

Only version 2, only below the group that we are in ourselves, and only if it is ours: under systemd that is the rule
for what a user starts. Without one, commands are ended by descent and cookie alone.
"""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path

_MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")


@functools.cache
def parent() -> Path | None:
    """Our own group, if groups may be made in it. The root of all groups has no `cgroup.kill`, and is nobody's own."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    own = next((line[3:] for line in lines if line.startswith("0::")), "/")
    for mount in _MOUNTS:
        group = Path(f"{mount}{own}")
        if (
            (group / "cgroup.kill").exists()
            and os.access(group, os.W_OK)
            and os.access(group / "cgroup.procs", os.W_OK)
        ):
            return group
    return None


class Leaf:
    """The group of one command. Every method is without effect, and without an error, where there is none: what it
    does is done by other means, too."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    @classmethod
    def of(cls, attempt: str) -> Leaf:
        """A new group, or none where there cannot be one."""
        above = parent()
        if above is None:
            return cls("")
        folder = f"{above}/mcp-scheduler-{attempt}"
        try:
            os.mkdir(folder)
        except OSError:
            return cls("")
        return cls(folder)

    def enter(self, pid: int) -> None:
        """This process and what it starts from now on."""
        self._write("cgroup.procs", str(pid))

    def kill(self) -> None:
        """SIGKILL to all in it, and nobody forks away."""
        self._write("cgroup.kill", "1")

    def is_populated(self) -> bool:
        """Whether anybody lives in it."""
        if not self.folder:
            return False
        try:
            return "populated 1" in Path(self.folder, "cgroup.events").read_text()
        except OSError:
            return False

    def remove(self) -> None:
        if self.folder:
            with contextlib.suppress(OSError):
                os.rmdir(self.folder)

    def _write(self, name: str, text: str) -> None:
        if self.folder:
            with contextlib.suppress(OSError), open(f"{self.folder}/{name}", "w") as file:
                file.write(text)
