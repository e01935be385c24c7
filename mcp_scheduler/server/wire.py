"""Lines in, lines out: what carries a protocol, be it a socket or the standard streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final, Protocol

LONGEST_LINE: Final = 16 * 1024 * 1024 + 1024  # bytes; a longer line is passed over
_CHUNK: Final = 256 * 1024


class Wire(Protocol):
    """Bytes both ways. `read` gives b"" at the end; `write` returns when the other side keeps up, and raises OSError
    when there is no other side any more."""

    async def read(self) -> bytes: ...
    async def write(self, sent: bytes) -> None: ...


class SocketWire:
    """A wire over asyncio's streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        try:
            return await self._reader.read(_CHUNK)
        except OSError:
            return b""

    async def write(self, sent: bytes) -> None:
        self._writer.write(sent)
        await self._writer.drain()


async def lines_of(wire: Wire) -> AsyncIterator[bytes | None]:
    """The lines that come in, without their ends; None for one that was too long. Empty lines are passed over."""
    held: list[bytes] = []  # pieces of a line whose end has not come yet
    length = 0
    while chunk := await wire.read():
        first, *others = chunk.split(b"\n")
        length += len(first)
        if length <= LONGEST_LINE:
            held.append(first)
        else:
            held.clear()
        if not others:
            continue
        if length > LONGEST_LINE:
            yield None
        elif line := b"".join(held).strip():
            yield line
        for line in others[:-1]:
            if stripped := line.strip():
                yield stripped
        held, length = [others[-1]], len(others[-1])
    if 0 < length <= LONGEST_LINE and (line := b"".join(held).strip()):
        yield line
