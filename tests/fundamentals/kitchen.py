"""The functions that the fundamentals run."""

from __future__ import annotations

import time
from pathlib import Path

from mcp_scheduler import current_task, function


@function
def add(x: float, y: float) -> float:
    """The sum of two numbers."""
    return x + y


@function
def shout(text: str) -> str:
    """Print and return the text."""
    print(text.upper())
    return text


@function
def refuse(why: str) -> None:
    """Always fails."""
    raise ValueError(why)


@function
def work_at_the_second_try() -> int:
    """Fails once; the number of the attempt that worked."""
    if current_task().attempt < 2:
        raise RuntimeError("not yet")
    return current_task().attempt


@function
def wait_for(file: str) -> str:
    """Until the file is there, for a minute at most."""
    last = time.monotonic() + 60
    while not Path(file).exists():
        if time.monotonic() > last:
            raise TimeoutError(f"{file} did not come.")
        time.sleep(0.01)
    return Path(file).read_text()
