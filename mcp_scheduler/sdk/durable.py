"""Files that are whole or not there, and on disk when the call returns."""

from __future__ import annotations

import os
import threading
from pathlib import Path


def write_durably(target: Path, content: bytes) -> None:
    """Write, fsync, rename, fsync the folder. A crash at any point leaves the old file, or none, and maybe a draft."""
    draft = target.with_name(f"{target.name}.{os.getpid()}.{threading.get_ident()}.draft")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(fd)
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file(file: Path) -> None:
    """Make the content of a file durable that somebody else has written."""
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
