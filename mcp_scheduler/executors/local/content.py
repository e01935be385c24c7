"""Files by what is in them: each content once, counted by the sets of files that have it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from mcp_scheduler.errors import InvalidRequest, TooLarge, Unavailable
from mcp_scheduler.sdk.durable import sync_folder
from mcp_scheduler.sdk.inputs import clone, content_place, transfer

_TRIES: Final = 3  # for a file that changes while it is read
_FEW: Final = 16  # new files up to which each is synced by itself


class Kept(NamedTuple):
    """A file that is kept: the name of its content, its bytes, whether it is executable."""

    name: str
    bytes: int
    is_executable: bool


class Contents:
    """The folder `content`. `most` is how many bytes it may hold. Used by one thread."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder, self._most = folder, most
        self._sets: Counter[str] = Counter()
        self._bytes = 0

    def keep(self, place: str, most: int, new: list[str]) -> Kept:
        """Keep what the file holds now. A content that was not there yet is noted in `new`. Errors: `InvalidRequest`
        for a file that cannot be read, `TooLarge` beyond `most` bytes, `Unavailable` where the store is full."""
        draft = self._folder / "content" / "draft"
        for _ in range(_TRIES):
            try:
                source = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            except OSError as error:
                raise InvalidRequest(
                    f"The input {place} cannot be read: {os.strerror(error.errno or 0)}.",
                    hint="Check the path and who may read it, or leave it out.",
                ) from None
            try:
                before = os.fstat(source)
                _refuse_special(place, before)
                name, size = self._draft(source, draft, most)
                after = os.fstat(source)
            finally:
                os.close(source)
            if (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size):
                self._place(draft, name, size, new)
                return Kept(name, size, bool(before.st_mode & stat.S_IXUSR))
        raise InvalidRequest(
            f"The input {place} goes on changing while it is read.", hint="Submit when whoever writes it has ended."
        )

    def sync(self, names: Iterable[str]) -> None:
        """Have these contents on the disk."""
        names = list(names)
        if len(names) > _FEW and _sync_all(self._folder):
            return
        for name in names:
            file = os.open(content_place(str(self._folder), name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(file)
            finally:
                os.close(file)
        for part in {name[:2] for name in names}:
            sync_folder(self._folder / "content" / part)
        if names:
            sync_folder(self._folder / "content")

    def count(self, names: Iterable[str]) -> None:
        """Another set has these."""
        self._sets.update(set(names))

    def discount(self, names: Iterable[str]) -> None:
        """A set that had these is gone."""
        names = set(names)
        self._sets.subtract(names)
        self.forget_unused(names)

    def forget_unused(self, names: Iterable[str]) -> None:
        """Remove those of them that no set has."""
        for name in names:
            if self._sets[name] > 0:
                continue
            del self._sets[name]
            place = content_place(str(self._folder), name)
            with contextlib.suppress(FileNotFoundError):
                size = os.stat(place).st_size
                os.unlink(place)
                self._bytes -= size

    def sweep(self) -> None:
        """Remove what no set has, and count what is left."""
        self._bytes = 0
        for folder, _, files in os.walk(self._folder / "content"):
            for name in files:
                if self._sets[name] > 0:
                    self._bytes += os.stat(f"{folder}/{name}").st_size
                else:
                    os.unlink(f"{folder}/{name}")
        self._sets = +self._sets

    def _draft(self, source: int, draft: Path, most: int) -> tuple[str, int]:
        """A copy, and the name of what is in the copy."""
        digest, seen = sha256(), 0

        def heard(piece: bytes) -> None:
            nonlocal seen
            seen += len(piece)
            if seen > most:
                raise TooLarge(
                    f"An input has more than the {most:,} bytes that are accepted for a task.",
                    hint="Pass its path as an argument, or raise [inputs] task_bytes.",
                )
            digest.update(piece)

        draft.unlink(missing_ok=True)
        target = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
        try:
            if clone(source, target):
                while piece := os.read(target, 1 << 20):
                    heard(piece)
            else:
                transfer(source, target, heard)
        finally:
            os.close(target)
        return digest.hexdigest(), seen

    def _place(self, draft: Path, name: str, size: int, new: list[str]) -> None:
        place = content_place(str(self._folder), name)
        if os.path.exists(place):
            draft.unlink()
            return
        if self._bytes + size > self._most:
            draft.unlink()
            raise Unavailable(
                f"The inputs of all tasks would have more than {self._most:,} bytes.",
                hint="They go when finished tasks are pruned ([queue] keep_days, keep_tasks); or raise [inputs]"
                " store_bytes, or pass paths as arguments.",
            )
        os.makedirs(os.path.dirname(place), 0o700, exist_ok=True)
        os.rename(draft, place)
        self._bytes += size
        new.append(name)


def _refuse_special(place: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise InvalidRequest(
            f"The input {place} is no ordinary file.", hint="Name files and folders; pipes and devices have no content."
        )


def _sync_all(folder: Path) -> bool:
    """One sync of the whole file system for thousands of files; False where the system has no such call."""
    syncfs = getattr(ctypes.CDLL(None), "syncfs", None)
    if syncfs is None:
        return False
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return syncfs(place) == 0
    finally:
        os.close(place)
