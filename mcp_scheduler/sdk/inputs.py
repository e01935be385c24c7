"""Inputs: files as they were when a task was submitted, laid out anew for each of its attempts.

Every attempt gets a copy of its own, in which it may write: what one attempt does to it reaches neither the next one
nor another task, while a mode that forbids writing would not hold against the user's own processes. Where the file
system can, the copy shares its blocks with what is kept and costs next to nothing.
"""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

VARIABLE: Final = "MCP_SCHEDULER_INPUTS"
FICLONE: Final = 0x40049409  # ioctl: share all blocks of another file
_PIECE: Final = 1 << 20


def manifest_place(kept: str, tree: str) -> str:
    """The list of a set of files, each as [path, name of its content, bytes, whether it is executable]."""
    return f"{kept}/trees/{tree}"


def content_place(kept: str, name: str) -> str:
    """A file by the SHA-256 of what is in it."""
    return f"{kept}/content/{name[:2]}/{name}"


def attempt_place(kept: str, attempt: str) -> str:
    """The copy that an attempt sees."""
    return f"{kept}/attempts/{attempt}"


def lay_out(kept: str, tree: str, attempt: str) -> str:
    """Copy a set of files for this attempt; the folder. What an earlier try of the same attempt left goes first.
    Errors: OSError."""
    target = attempt_place(kept, attempt)
    with open(manifest_place(kept, tree), "rb") as file:
        entries = json.load(file)
    if os.path.lexists(target):
        import shutil  # noqa: PLC0415 (an attempt that was handed out twice, or a worker that died: rare)

        shutil.rmtree(target)
    os.makedirs(target, 0o700)
    made = {""}
    for path, name, _, is_executable in entries:
        folder = os.path.dirname(path)
        if folder not in made:
            os.makedirs(f"{target}/{folder}", 0o700, exist_ok=True)
            made.add(folder)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        source = os.open(content_place(kept, name), os.O_RDONLY | os.O_CLOEXEC)
        try:
            copy = os.open(f"{target}/{path}", flags, 0o700 if is_executable else 0o600)
            try:
                if not clone(source, copy):
                    transfer(source, copy)
            finally:
                os.close(copy)
        finally:
            os.close(source)
    return target


def clone(source: int, target: int) -> bool:
    """Let an empty file share the blocks of another one; False where the file system cannot."""
    from fcntl import ioctl  # noqa: PLC0415 (most workers never need it)

    try:
        ioctl(target, FICLONE, source)
    except OSError:
        return False
    return True


def transfer(source: int, target: int, heard: Callable[[bytes], None] | None = None) -> int:
    """Copy from here to the end; how many bytes. `heard` sees every piece. Errors: OSError, and what `heard` raises."""
    count = 0
    while True:
        piece = os.read(source, _PIECE)
        if not piece:
            return count
        if heard is not None:
            heard(piece)
        count += len(piece)
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(target, rest) :]
