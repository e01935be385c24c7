"""Work of many sizes, as the scheduler's workers import it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from mcp_scheduler import function


@function
def digest(path: str) -> str:
    """Read a file and hash it, thirty times: time grows with the file."""
    found = hashlib.sha256()
    for _ in range(30):
        found.update(Path(path).read_bytes())
    return found.hexdigest()


@function
def sort(values: list[float]) -> float:
    """Sort what comes as an argument, a hundred times."""
    for _ in range(100):
        ordered = sorted(values)
    return ordered[len(ordered) // 2]


@function
def encode(path: str, times: int) -> int:
    """Parse and print JSON as often as an argument says, which its size does not show."""
    rows = json.loads(Path(path).read_text())
    return sum(len(json.dumps(rows)) for _ in range(times))
