"""What a loss of power leaves of a recorded folder: what was fsync'ed by then, and of the rest nothing or anything.

The model is that of POSIX, not of one file system. The content of a file is safe when the file was synced; a name (a
new one, one that was renamed, one that was removed) is safe when its folder was. Of what is not safe, every single
write and the last states of every single name may or may not have reached the disk. Writes are not torn.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from campaigns.disk import Op, Record

FOLDER = -1  # what a name leads to that is a folder's


@dataclass
class _File:
    """`unsafe` has (offset, content), and (length, None) for a change of the length."""

    safe: bytearray = field(default_factory=bytearray)
    unsafe: list[tuple[int, bytes | None]] = field(default_factory=list[tuple[int, bytes | None]])

    def sync(self) -> None:
        for offset, content in self.unsafe:
            _apply(self.safe, offset, content)
        self.unsafe.clear()

    def content(self, chance: Random | None) -> bytes:
        found = bytearray(self.safe)
        if chance is not None:
            for offset, content in self.unsafe:
                if chance.random() < 0.5:
                    _apply(found, offset, content)
        return bytes(found)


@dataclass
class _Name:
    """What a name leads to: the number of a file, FOLDER, or None for nothing. `unsafe` are its later states."""

    safe: int | None = None
    unsafe: list[int | None] = field(default_factory=list[int | None])

    @property
    def now(self) -> int | None:
        return self.unsafe[-1] if self.unsafe else self.safe

    def after(self, chance: Random | None) -> int | None:
        return self.safe if chance is None else chance.choice([self.safe, *self.unsafe])


class Remains:
    """Fed with the records of one folder in their order, it can write down at any point what would be left of it."""

    def __init__(self, folder: str, *, lying: bool = False) -> None:
        """`lying`: a disk that says it has synced and has not; a judge who sees nothing then sees nothing at all."""
        self._folder = folder
        self._lying = lying
        self._files: list[_File] = []
        self._by_inode: dict[int, int] = {}
        self._names: dict[str, _Name] = {}

    def feed(self, record: Record) -> None:
        """The next operation."""
        inside = record.first.startswith(f"{self._folder}/")
        match record.op:
            case Op.SYNC:
                self._sync(record)
            case Op.CREATE if inside:
                self._by_inode[record.inode] = len(self._files)
                self._name(record.first).unsafe.append(len(self._files))
                self._files.append(_File())
            case Op.CREATE:
                self._by_inode.pop(record.inode, None)  # a file elsewhere has the number of one that was removed here
            case Op.WRITE if record.inode in self._by_inode:
                self._file(record).unsafe.append((record.offset, record.content))
            case Op.TRUNCATE if record.inode in self._by_inode:
                self._file(record).unsafe.append((record.offset, None))
            case Op.RENAME if inside:
                self._name(record.second).unsafe.append(self._name(record.first).now)
                self._name(record.first).unsafe.append(None)
            case Op.LINK if inside:
                self._name(record.second).unsafe.append(self._name(record.first).now)
            case Op.UNLINK | Op.RMDIR if inside:
                self._name(record.first).unsafe.append(None)
            case Op.MKDIR if inside:
                self._name(record.first).unsafe.append(FOLDER)
            case _:
                return  # of another folder

    def write(self, target: Path, chance: Random | None) -> None:
        """Make `target` what is left now. Without `chance` only what is safe is left."""
        target.mkdir(mode=0o700)
        for path in sorted(self._names):  # a folder comes before what is in it
            leads_to = self._names[path].after(chance)
            place = target / os.path.relpath(path, self._folder)
            if leads_to is None or not place.parent.is_dir():
                continue
            if leads_to == FOLDER:
                place.mkdir(mode=0o700)
            else:
                place.write_bytes(self._files[leads_to].content(chance))
                place.chmod(0o600)

    def _sync(self, record: Record) -> None:
        if self._lying:
            return
        if record.inode in self._by_inode and self._name(record.first).now != FOLDER:
            self._file(record).sync()
        for path, name in self._names.items():
            if name.unsafe and os.path.dirname(path) == record.first:
                name.safe = name.unsafe[-1]
                name.unsafe.clear()

    def _file(self, record: Record) -> _File:
        return self._files[self._by_inode[record.inode]]

    def _name(self, path: str) -> _Name:
        return self._names.setdefault(path, _Name())


def _apply(content: bytearray, offset: int, written: bytes | None) -> None:
    if written is None:
        del content[offset:]
        content.extend(bytes(offset - len(content)))
        return
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(written)] = written
