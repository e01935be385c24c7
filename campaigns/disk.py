"""The disk as a campaign sees it: each write, fsync, rename and unlink of a house, recorded or failing by order.

`disk.c` is preloaded into every process of the house. It needs a C compiler and the GNU C library, nothing else.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

SOURCE = Path(__file__).with_name("disk.c")
MARK = 100  # in the log: not an operation, but something that a campaign has to say at this moment
_HEAD = struct.Struct("<4I3Q")


class Op(IntEnum):
    """What was done, as `enum op` in disk.c."""

    CREATE = 1
    WRITE = 2
    TRUNCATE = 3
    SYNC = 4
    RENAME = 5
    LINK = 6
    UNLINK = 7
    MKDIR = 8
    RMDIR = 9


class Fault(IntEnum):
    """What becomes of the operation that is hit, as `enum fault` in disk.c."""

    NONE = 0
    KILL = 1
    ONCE = 2
    FROM_THEN_ON = 3


class _Control(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_int64 if name == "clock" else ctypes.c_uint64)
        for name in (
            "recording", "fault", "at", "count", "error", "hits", "clock", "no_processes", "writes_only",
        )
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the log. `first` and `second` are paths; a TRUNCATE has the new length as its `offset`."""

    op: int
    pid: int
    inode: int
    offset: int
    first: str
    second: str
    content: bytes


class Disk:
    """The preloaded library, its orders and its log, which lie in `folder`. What is below `root` (default: `folder`) is
    recorded, or fails."""

    def __init__(self, folder: Path, root: Path | None = None) -> None:
        self.root = root or folder
        self._log = folder / "disk.operations"
        self._library = folder / "disk.so"
        self._page = folder / "disk.control"
        _compile(self._library)
        self._page.write_bytes(bytes(mmap.PAGESIZE))
        with self._page.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self.orders = _Control.from_buffer(self._memory)

    def environment(self) -> dict[str, str]:
        """What a program needs in order to be watched, with everything that it starts."""
        return {
            "LD_PRELOAD": str(self._library),
            "DISK_CONTROL": str(self._page),
            "DISK_ROOT": str(self.root),
            "DISK_LOG": str(self._log),
        }

    def order(self, fault: Fault, at: int = 0, error: int = 0, *, writes_only: bool = False) -> None:
        """From now on operations are counted, and number `at` is hit. With `Fault.NONE` all is well again."""
        self.orders.fault = Fault.NONE
        self.orders.at, self.orders.error, self.orders.writes_only = at, error, int(writes_only)
        self.orders.count = self.orders.hits = 0
        self.orders.fault = fault

    def record(self) -> None:
        """From now on everything goes into the log."""
        self.orders.recording = 1

    def mark(self, text: bytes) -> None:
        """Something that is true from this moment on: everything that led to it stands before it in the log."""
        file = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, _HEAD.pack(MARK, 0, 0, os.getpid(), 0, 0, len(text)) + text)
        finally:
            os.close(file)

    def records(self) -> Iterator[Record]:
        """The log from its beginning."""
        with self._log.open("rb") as file:
            while head := file.read(_HEAD.size):
                op, first, second, pid, inode, offset, length = _HEAD.unpack(head)
                names = os.fsdecode(file.read(first)), os.fsdecode(file.read(second))
                yield Record(op, pid, inode, offset, *names, file.read(length))


def _compile(target: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise FileNotFoundError("A C compiler (cc) is needed: the campaign preloads a small library.")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(target), str(SOURCE), "-ldl"], check=True)
