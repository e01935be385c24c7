"""How an exception of a user's function is told: its type and text first, then the way through the user's own code."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Final

OURS: Final = str(Path(__file__).parent)
LONGEST: Final = 8192  # bytes
MOST_FRAMES: Final = 12
LONGEST_HEAD: Final = 4000


def told(error: BaseException) -> str:
    """`Type: text`, its cause, and the innermost frames of the user's code, in at most 8 KiB."""
    lines = [_headline(error)]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        lines.append(f"caused by {_headline(cause)}")
    lines.extend(f"  {_headline(part)}" for part in getattr(error, "exceptions", ())[:MOST_FRAMES])
    lines.extend(_frames(error))
    raw = "\n".join(lines).encode(errors="replace")
    return raw[:LONGEST].decode(errors="ignore")


def _headline(error: BaseException) -> str:
    kind = type(error).__qualname__
    try:
        text = str(error)
    except Exception as second:  # noqa: BLE001 (a user's __str__ may raise anything)
        text = f"(its text cannot be made: {type(second).__name__})"
    return f"{kind}: {text}"[:LONGEST_HEAD] if text else kind


def _is_machinery(file: str) -> bool:
    return file.startswith(OURS) or f"{os.sep}asyncio{os.sep}" in file


def _frames(error: BaseException) -> Iterator[str]:
    entries = [entry for entry in traceback.extract_tb(error.__traceback__) if not _is_machinery(entry.filename)]
    if len(entries) > MOST_FRAMES:
        yield f"  ({len(entries) - MOST_FRAMES} outer frames left out)"
    for entry in entries[-MOST_FRAMES:]:
        yield f"  {entry.filename}:{entry.lineno} in {entry.name}: {entry.line}"
