"""Durable exit records: how an attempt ended, written where no engine was there to hear it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast


def place(folder: Path, attempt: str) -> Path:
    """Where the exit record of an attempt lies."""
    return folder / f"{attempt}.exit"


def write(folder: Path, attempt: str, outcome: Mapping[str, Any]) -> None:
    """Write the record and return when it is on disk. A record that is there already stays: the first word counts."""
    target = place(folder, attempt)
    draft = target.with_suffix(f".{os.getpid()}.draft")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(json.dumps({**outcome, "attempt": attempt}).encode())
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, target)
    finally:
        draft.unlink()
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read(folder: Path, attempt: str) -> dict[str, Any] | None:
    """The record, or None where there is none (or an unreadable one, which only a failing disk leaves)."""
    try:
        record = json.loads(place(folder, attempt).read_bytes())
    except (OSError, ValueError):
        return None
    return cast("dict[str, Any]", record) if isinstance(record, dict) else None


def remove(folder: Path, attempts: list[str]) -> None:
    for attempt in attempts:
        with contextlib.suppress(FileNotFoundError):
            place(folder, attempt).unlink()
