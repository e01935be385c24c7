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
NO_MEMORY: Final = (
    "CUDA out of memory", "CUDA_ERROR_OUT_OF_MEMORY", "cudaErrorMemoryAllocation", "RESOURCE_EXHAUSTED",
    "CUBLAS_STATUS_ALLOC_FAILED", "HIP out of memory",
)  # fmt: skip
BROKEN_CONTEXT: Final = ("CUDA error", "cudaError", "CUDA_ERROR_", "HIP error")
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


def lacks_memory(error: BaseException) -> bool:
    """Whether the host or a device had not enough memory. Frameworks for GPUs have types and words of their own."""
    if isinstance(error, MemoryError) or type(error).__name__ in ("OutOfMemoryError", "CUDAOutOfMemoryError"):
        return True
    return isinstance(error, (RuntimeError, OSError)) and any(word in _headline(error) for word in NO_MEMORY)


def spoilt(reason: str | None, error: str) -> str:
    """Why a process that uses devices should run nothing else after a call that ended so; "" if it may."""
    if reason == "out_of_memory":
        return "The last call ran out of memory; what it held on the device may still be held."
    if reason == "error" and any(word in error for word in BROKEN_CONTEXT):
        return "The last call broke the device's context."
    return ""


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
