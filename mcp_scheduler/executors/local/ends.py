"""The ends of commands on disk: a file per shim that grows by one line for each end.

A line is there as a whole as soon as it is written, whatever is killed; it survives a power loss from `sync` on. So one
fsync serves all that ended before it, where a file for each would cost two fsyncs and four changes of the folder. A
line that a crash cut off is none. The files are called `SHIM.NUMBER.ends`: of one shim only the last still grows.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mcp_scheduler.sdk.durable import sync_folder

Record = dict[str, Any]

SUFFIX = ".ends"
LARGEST = 1 << 20  # bytes from which on the next file is begun


class Ends:
    """The writing side."""

    def __init__(self, folder: Path, shim: str) -> None:
        self.name = ""
        self._folder, self._shim = folder, shim
        self._number = 0
        self._file = -1
        self._size = 0
        self._is_new = False
        self._is_durable = True

    def add(self, attempt: str, outcome: Mapping[str, Any]) -> None:
        """Write how this attempt ended. Errors: OSError, and then nothing of it is there."""
        if self._file < 0 or (self._size >= LARGEST and self._is_durable):
            self._begin()
        line = json.dumps({**outcome, "attempt": attempt}).encode() + b"\n"
        written = os.write(self._file, line)
        if written < len(line):
            os.ftruncate(self._file, self._size)  # the next line must begin where a line begins
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.name)
        self._size += written
        self._is_durable = False

    def sync(self) -> None:
        """Everything that was added is on disk. Errors: OSError."""
        if self._is_durable:
            return
        os.fdatasync(self._file)  # with the new length of the file: it could not be read without
        if self._is_new:
            sync_folder(self._folder)
            self._is_new = False
        self._is_durable = True

    def _begin(self) -> None:
        name = f"{self._shim}.{self._number}{SUFFIX}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        file = os.open(self._folder / name, flags, 0o600)
        if self._file >= 0:
            os.close(self._file)
        self._file, self._size, self._is_new, self.name = file, 0, True, name
        self._number += 1


def shim_of(name: str) -> str:
    """Whose file it is."""
    return name.partition(".")[0]


def _number(name: str) -> int:
    return int(name.split(".")[1])


def files(folder: Path, shim: str = "*") -> list[Path]:
    """Those of a shim, or of all of them."""
    return sorted(folder.glob(f"{shim}.*{SUFFIX}"))


def records(paths: Iterable[Path]) -> dict[str, tuple[str, Record]]:
    """Attempt → file and record, of all that lies in these files."""
    return {record["attempt"]: (path.name, record) for path in paths for record in _lines(path)}


def _lines(path: Path) -> Iterator[Record]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:  # all of it is settled
        return
    for line in content.split(b"\n"):
        try:
            record = json.loads(line)
        except ValueError:  # cut off
            continue
        if isinstance(record, dict) and "attempt" in record:
            yield record


class EndsKept:
    """The engine's account of these files: one may go when it does not grow any more, and every end in it that was
    wanted is settled. Until `decided`, nobody knows yet which ends of an earlier engine are wanted: none goes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unsettled: dict[str, set[str]] = {}  # file → attempts
        self._where: dict[str, str] = {}  # attempt → file
        self._growing: dict[str, str] = {}  # shim → file
        self._to_remove: list[Path] = []
        self._gone_early: set[str] | None = set()

    def told(self, attempt: str, name: str) -> None:
        """This end was reported; its record lies there. A file that comes after another of its shim ends that one."""
        self._where[attempt] = name
        self._unsettled.setdefault(name, set()).add(attempt)
        before = self._growing.get(shim_of(name))
        if before is None or _number(name) > _number(before):
            self._growing[shim_of(name)] = name
            if before is not None:
                self._look(before)

    def settled(self, attempt: str) -> bool:
        """Nobody needs this end any more; False if it lies in none of these files."""
        name = self._where.pop(attempt, None)
        if name is None:
            return False
        self._unsettled[name].discard(attempt)
        self._look(name)
        return True

    def gone(self, shim: str) -> None:
        """This shim lives no more."""
        self._growing.pop(shim, None)
        if self._gone_early is not None:
            self._gone_early.add(shim)
            return
        for path in files(self._folder, shim):
            self._look(path.name)

    def decided(self) -> None:
        """Every wanted end of an earlier engine was told."""
        early, self._gone_early = self._gone_early, None
        for shim in early or ():
            self.gone(shim)

    def remove(self) -> None:
        """Take away what may go. Blocks: run it in a thread. Errors: OSError; what is left may be tried again."""
        while self._to_remove:
            path = self._to_remove.pop()
            try:
                path.unlink(missing_ok=True)
            except OSError:
                self._to_remove.append(path)
                raise

    @property
    def is_due(self) -> bool:
        return bool(self._to_remove)

    def _look(self, name: str) -> None:
        if not self._unsettled.get(name) and self._growing.get(shim_of(name)) != name:
            self._unsettled.pop(name, None)
            self._to_remove.append(self._folder / name)
