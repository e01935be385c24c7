"""Checks of the home folder: whose it is, on what file system, with how much room."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from mcp_scheduler.cli.checks.finding import Finding
from mcp_scheduler.cli.text import size
from mcp_scheduler.errors import SchedulerError

_NETWORK: Final = frozenset(
    {
        "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs", "ocfs2",
        "gfs2", "davfs", "fuse.sshfs", "fuse.rclone", "fuse.s3fs", "fuse.gcsfuse", "fuse.glusterfs", "fuse.davfs2",
        "fuse.ceph", "fuse.juicefs", "fuse.google-drive-ocamlfuse", "vboxsf", "prl_fs", "virtiofs",
    }
)  # fmt: skip
_VANISHING: Final = frozenset({"tmpfs", "ramfs"})
_SYNCED: Final = ("dropbox", "onedrive", "google drive", "googledrive", "icloud drive", "mobile documents", "nextcloud")
_LITTLE: Final = 1 << 30  # bytes; below this a burst of output may not fit
_TOO_LITTLE: Final = 64 << 20
_MOVE: Final = "Keep it on a local disk: --home DIR, or MCP_SCHEDULER_HOME."


def check_home(home: str) -> Finding:
    """The folder's owner and permissions."""
    try:
        found = os.lstat(home)
    except FileNotFoundError:
        return _check_place(home)
    except OSError as error:
        return Finding("FAIL", "home", f"{home}: {error.strerror}", "Choose another: --home DIR.")
    if not stat.S_ISDIR(found.st_mode):
        what = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "no folder"
        return Finding("FAIL", "home", f"{home} is {what}", "Name a real folder: --home DIR.")
    if found.st_uid != os.geteuid():
        return Finding(
            "FAIL", "home", f"{home} belongs to uid {found.st_uid}", "Name a folder of your own: --home DIR."
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        return Finding("WARN", "home", f"{home} can be entered by others", f"chmod 700 {home}")
    return Finding("OK", "home", home)


def check_settings(home: str) -> Finding:
    """An engine starts only with settings that it understands."""
    from mcp_scheduler.settings import load  # noqa: PLC0415 - pydantic, which no other check needs

    file = Path(home, "config.toml")
    try:
        load(Path(home))
    except SchedulerError as error:
        return Finding("FAIL", "settings", error.message, error.hint)
    return Finding("OK", "settings", f"{file}" if file.exists() else "the defaults: there is no config.toml")


def _check_place(home: str) -> Finding:
    """Whether a home that is not there yet can be made: in the nearest folder above it that is there."""
    above = next(folder for folder in Path(home).absolute().parents if folder.exists())
    if not os.access(above, os.W_OK | os.X_OK):
        return Finding(
            "FAIL", "home", f"{home} cannot be made: {above} may not be written", "Choose another: --home DIR."
        )
    return Finding("OK", "home", f"{home} (not there yet; the first engine makes it)")


def check_file_system(home: str, mounts: Iterable[str] | None = None) -> Finding:
    """Whether SQLite's locks and fsync mean there what they say. `mounts`: lines of /proc/self/mountinfo."""
    folder = Path(home)
    synced = next((part for part in folder.parts if part.lower().startswith(_SYNCED)), "")
    if synced:
        return Finding(
            "WARN", "file system", f"{home} lies in {synced}, which copies files while they are written", _MOVE
        )
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
        except OSError:
            return Finding("OK", "file system", "unknown: this system has no /proc")
    kind = file_system(os.path.realpath(folder), mounts)
    if kind in _NETWORK:
        return Finding("FAIL", "file system", f"{kind}: a network file system, on which SQLite loses data", _MOVE)
    if kind in _VANISHING:
        return Finding("WARN", "file system", f"{kind}: gone after a reboot", _MOVE)
    if kind == "overlay":
        return Finding(
            "WARN", "file system", "overlay: gone with this container", "Mount a volume and name it with --home."
        )
    return Finding("OK", "file system", kind or "unknown")


def file_system(path: str, mounts: Iterable[str]) -> str:
    """The type of the file system that `path` lies on: that of the longest mount point above it, the last one said."""
    best, kind = "", ""
    for line in mounts:
        before, _, after = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), before.split(" ")[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, after.split(" ")[0]
    return kind


def check_disk(home: str, free: int | None = None) -> Finding:
    """Room for the database, outputs and results (`free` overrides the bytes found)."""
    folder = Path(home)
    while not folder.exists():
        folder = folder.parent
    left = shutil.disk_usage(folder).free if free is None else free
    text = f"{size(left)} free"
    if left < _TOO_LITTLE:
        return Finding("FAIL", "disk", text, "Make room: without it no task can be accepted.")
    if left < _LITTLE:
        return Finding("WARN", "disk", text, "Make room: outputs and results of tasks need it.")
    return Finding("OK", "disk", text)
