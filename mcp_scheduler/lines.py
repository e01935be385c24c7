"""Bytes into lines, with a limit. Standard library only: every client's start imports this file."""

from __future__ import annotations

import re

SAMPLE = 4096  # bytes kept of either end of a line that is too long
_ID = rb'"id"\s*:\s*(-?\d+|"(?:[^"\\]|\\.)*")'
_VERSION = rb'"jsonrpc"\s*:\s*"2.0"'
# Ids that stand first or last in the outermost object: where every known client writes them.
_ID_FIRST = rb"\s*\{\s*(?:" + _VERSION + rb"\s*,\s*)?" + _ID
_ID_LAST = _ID + rb"\s*(?:,\s*" + _VERSION + rb"\s*)?\}\s*$"


class TooLong:
    """A line of more bytes than allowed, of which only the two ends were kept."""

    __slots__ = ("head", "size", "tail")

    def __init__(self, head: bytes) -> None:
        self.head = head[:SAMPLE]
        self.tail = b""
        self.size = 0
        self.add(head)

    def add(self, more: bytes | bytearray) -> None:
        self.size += len(more)
        self.tail = (self.tail + bytes(more[-SAMPLE:]))[-SAMPLE:]

    def request_id(self) -> str:
        """The JSON text of the request's id, or "" if it stands where it is not cheaply found."""
        if b'"method"' not in self.head + self.tail:
            return ""
        found = re.match(_ID_FIRST, self.head) or re.search(_ID_LAST, self.tail)
        return found.group(1).decode() if found else ""


class Lines:
    """Chunks go in by `feed`, whole lines come out by `take`. What is not taken stays: `size` bytes of it."""

    __slots__ = ("_buffer", "_limit", "_scanned", "_too_long")

    def __init__(self, limit: int) -> None:
        """`limit` is in bytes, without the newline; 0 for none."""
        self._limit = limit
        self._buffer = bytearray()
        self._scanned = 0  # so many bytes of the buffer hold no newline
        self._too_long: TooLong | None = None

    @property
    def size(self) -> int:
        return len(self._buffer)

    def feed(self, chunk: bytes) -> None:
        self._buffer += chunk

    def finish(self) -> None:
        """Nothing more will come: what is left is the last line."""
        if self._buffer and not self._buffer.endswith(b"\n"):
            self._buffer += b"\n"

    def take(self) -> bytes | TooLong | None:
        """The next line with its newline, or None if there is no whole one."""
        end = self._buffer.find(b"\n", self._scanned)
        if end < 0:
            self._scanned = len(self._buffer)
            if self._limit and (self._too_long or self._scanned > self._limit):
                self._drop(self._scanned)
            return None
        if self._too_long or (self._limit and end > self._limit):
            return self._end_of_too_long(end)
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        self._scanned = 0
        return line

    def _end_of_too_long(self, end: int) -> TooLong:
        self._drop(end)
        del self._buffer[:1]
        assert self._too_long is not None
        line, self._too_long = self._too_long, None
        return line

    def _drop(self, count: int) -> None:
        dropped = bytes(self._buffer[:count])
        if self._too_long is None:
            self._too_long = TooLong(dropped)
        else:
            self._too_long.add(dropped)
        del self._buffer[:count]
        self._scanned = 0
