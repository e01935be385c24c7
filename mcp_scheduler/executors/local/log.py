"""A bounded file of printed bytes: the first `head` bytes and the last `tail` bytes of a stream of any length.

Up to `head + tail` bytes the file is the stream itself. After that its second part is a ring, and a trailer of 32
bytes says so: mark, head, tail, bytes printed in all. The file is readable at any moment, also after a `kill -9` of
whoever wrote it.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

TRAILER = struct.Struct("<8sQQQ")
MARK = b"\0mcpring"


class Log:
    """The writing side. The file is created with the first byte; a log that is there already is continued."""

    def __init__(self, path: Path, head: int, tail: int) -> None:
        self.head, self.tail = head, tail
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.total = _extent(self._fd).total

    def write(self, chunk: bytes) -> None:
        """Add `chunk`. Errors: OSError (disk full); what was written so far stays readable."""
        room = self.head + self.tail - self.total
        if room > 0:
            os.pwrite(self._fd, chunk[:room], self.total)
            self.total += len(chunk[:room])
            chunk = chunk[room:]
        if chunk:
            self._wrap(chunk)

    def _wrap(self, chunk: bytes) -> None:
        skipped = max(0, len(chunk) - self.tail)  # would be overwritten by the rest of the same chunk
        at = (self.total + skipped - self.head) % self.tail if self.tail else 0
        kept = chunk[skipped:]
        first = kept[: self.tail - at]
        os.pwrite(self._fd, first, self.head + at)
        os.pwrite(self._fd, kept[len(first) :], self.head)
        self.total += len(chunk)
        os.pwrite(self._fd, TRAILER.pack(MARK, self.head, self.tail, self.total), self.head + self.tail)

    def close(self) -> None:
        os.close(self._fd)


class _Extent:
    """Which parts of a stream its file still holds."""

    def __init__(self, head: int, tail: int, total: int) -> None:
        self.head, self.tail, self.total = head, tail, total

    @property
    def tail_from(self) -> int:
        """Where in the stream the kept tail begins; equal to `head` while nothing is missing."""
        return max(self.head, self.total - self.tail)


def _extent(fd: int) -> _Extent:
    size = os.fstat(fd).st_size
    if size > TRAILER.size:
        mark, head, tail, total = TRAILER.unpack(os.pread(fd, TRAILER.size, size - TRAILER.size))
        if mark == MARK and head + tail + TRAILER.size == size:
            return _Extent(head, tail, total)
    return _Extent(size, 0, size)


def read(path: Path, offset: int, limit: int) -> tuple[bytes, int, int]:
    """At most `limit` bytes of the stream from `offset`, the offset behind them, and how many were printed in all.

    Offsets are those of the stream, not of the file. A negative offset counts from the end. Where bytes were dropped
    the text continues with the kept tail, after one line that says how many are missing: so the offset behind it may be
    far beyond `offset` and the length of the text.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b"", max(0, offset), 0
    try:
        extent = _extent(fd)
        if offset < 0:
            offset = max(0, extent.total + offset)
        return *_read(fd, extent, offset, limit), extent.total
    finally:
        os.close(fd)


def _read(fd: int, extent: _Extent, offset: int, limit: int) -> tuple[bytes, int]:
    parts = b""
    if offset < extent.head:
        parts = os.pread(fd, min(limit, extent.head - offset), offset)
        offset += len(parts)
    if len(parts) == limit or offset >= extent.total:
        return parts, offset
    start = max(offset, extent.tail_from)
    if start > offset:
        parts += b"\n[%d bytes were not kept]\n" % (start - offset)
    last = _ring(fd, extent, start, limit - min(limit, len(parts)))
    return parts + last, start + len(last)


def _ring(fd: int, extent: _Extent, start: int, limit: int) -> bytes:
    length = min(limit, extent.total - start)
    at = (start - extent.head) % extent.tail
    first = os.pread(fd, min(length, extent.tail - at), extent.head + at)
    return first + os.pread(fd, length - len(first), extent.head)


def length(path: Path) -> int:
    """How many bytes were printed in all; 0 where nothing was."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        return _extent(fd).total
    finally:
        os.close(fd)
