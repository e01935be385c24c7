"""Frames between an engine and a worker: four bytes of length, big-endian, then that much UTF-8 JSON."""

from __future__ import annotations

from typing import Final

LONGEST: Final = 512 * 1024 * 1024
HEAD: Final = 4  # bytes of the length


class BrokenFrame(Exception):
    """The stream does not carry frames (any more): close it."""


def frame(body: bytes) -> bytes:
    """`body` as one frame."""
    return len(body).to_bytes(HEAD, "big") + body


class Splitter:
    """Cuts a stream of bytes into the bodies of its frames."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The bodies that are complete with this chunk. BrokenFrame where a length is beyond `LONGEST`."""
        rest = self._rest
        rest += chunk
        bodies: list[bytes] = []
        start = 0
        while len(rest) - start >= HEAD:
            length = int.from_bytes(rest[start : start + HEAD], "big")
            if length > LONGEST:
                raise BrokenFrame(f"A frame of {length} bytes is announced; at most {LONGEST} are allowed.")
            end = start + HEAD + length
            if len(rest) < end:
                break
            bodies.append(bytes(rest[start + HEAD : end]))
            start = end
        del rest[:start]
        return bodies
