"""One lock file per GPU, so that engines of different homes do not promise the same GPU. The kernel ends a lock with
its process, however that ends."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from mcp_scheduler.home import DoorError, own_folder


def lock_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where this user's engines meet. The same for all of them, whatever their environment says: the runtime folder
    by its usual name (a login's variables are not there for an engine that cron started), else one in /tmp."""
    chosen = environ.get("MCP_SCHEDULER_GPU_LOCKS", "")
    usual = Path(f"/run/user/{os.geteuid()}")
    if chosen:
        return Path(chosen)
    if usual.is_dir() and os.access(usual, os.W_OK):
        return usual / "mcp-scheduler" / "gpus"
    return Path(f"/tmp/mcp-scheduler-{os.geteuid()}/gpus")  # noqa: S108 - own_folder checks the owner


class GpuLocks:
    """The GPUs that this engine may offer. `home` is told to other engines that find a lock taken."""

    def __init__(self, folder: Path, home: str) -> None:
        self._folder = folder
        self._home = home
        self._files: dict[str, int] = {}

    def take(self, uuids: Iterable[str]) -> dict[str, str]:
        """Lock these GPUs, those that are ours already included. The answer has those that may not be offered, each
        with why, for a person. Asking again is cheap: another engine may have ended."""
        refused: dict[str, str] = {}
        for uuid in uuids:
            if not self._is_ours(uuid) and (why := self._lock(uuid)):
                refused[uuid] = why
        return refused

    def has(self, uuid: str) -> bool:
        return uuid in self._files

    def release(self, uuid: str) -> None:
        """Let other engines have it. Only where nothing of ours runs on it any more."""
        file = self._files.pop(uuid, None)
        if file is not None:
            os.close(file)

    def close(self) -> None:
        for uuid in list(self._files):
            self.release(uuid)

    def _is_ours(self, uuid: str) -> bool:
        """Whether we have the lock, and by the file that others would find: a cleaner of old files may remove it."""
        file = self._files.get(uuid)
        if file is None:
            return False
        try:
            there = os.stat(self._path(uuid), follow_symlinks=False)
        except OSError:
            there = None
        if there is not None and os.path.samestat(there, os.fstat(file)):
            return True
        self.release(uuid)
        return False

    def _path(self, uuid: str) -> Path:
        return self._folder / uuid.replace("/", "_")

    def _lock(self, uuid: str) -> str:
        """ "" if the lock is ours now, else why not."""
        try:
            own_folder(str(self._folder.parent))
            own_folder(str(self._folder))
            file = os.open(self._path(uuid), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except (OSError, DoorError) as error:
            return f"The lock of the GPU cannot be made in {self._folder}: {error}"
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            why = _holder(file)
            os.close(file)
            return why
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps({"pid": os.getpid(), "home": self._home}).encode(), 0)
        self._files[uuid] = file
        return ""


def _holder(file: int) -> str:
    try:
        found: object = json.loads(os.pread(file, 4096, 0))
    except (OSError, ValueError):
        found = {}
    told = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    who = f"pid {told['pid']}, home {told['home']}" if {"pid", "home"} <= told.keys() else "it does not say which"
    return f"Another engine of mcp-scheduler has this GPU ({who}). Stop that one, or use its home."
