"""Functions that the tests of the Python door call."""

from __future__ import annotations

import time
from pathlib import Path

from mcp_scheduler import current_task, function


@function
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


@function
def total(numbers: list[int]) -> int:
    """Add many."""
    return sum(numbers)


@function
def speak(lines: int) -> None:
    """Print numbered lines."""
    for number in range(lines):
        print(f"line {number}")


@function
def fail(text: str) -> None:
    """Raise."""
    raise ValueError(text)


@function(idempotent=True)
def safe(first: float = 0.0, other: float = 0.0) -> int:
    """Its first attempt may take longer than the others."""
    attempt = current_task().attempt
    time.sleep(first if attempt == 1 and first else other)
    return attempt


@function(retry={"max_attempts": 3, "delay": 0.01})
def third_time_lucky() -> int:
    """Fails twice."""
    attempt = current_task().attempt
    if attempt < 3:
        raise ConnectionError("not yet")
    return attempt


@function
def wait_for_file(path: str) -> str:
    """Ends when the file is there."""
    while not Path(path).exists():
        time.sleep(0.01)
    return "seen"


@function
def big(size: int) -> str:
    """A large result."""
    return "x" * size


@function(retry={"max_attempts": 2, "delay": 0.01})
def picky(n: int, log: str) -> int:
    """Fails at every seventh number, the first time."""
    with open(log, "a") as file:
        file.write(f"{n}\n")
    if n % 7 == 0 and current_task().attempt == 1:
        raise ValueError(f"{n} is one of seven")
    return n


@function
def check(n: int) -> int:
    """Fails at negative numbers."""
    if n < 0:
        raise ValueError(f"{n} is negative")
    return n


@function
def slow(n: int, log: str) -> int:
    """Takes 20 ms."""
    time.sleep(0.02)
    with Path(log).open("a") as file:
        file.write(f"{n}\n")
    return n


@function
def chain(parts: list[str], log: str) -> str:
    """Join texts, and leave a mark that it was done."""
    Path(log).touch()
    return f"({'+'.join(parts)})"


@function
def note(path: str, line: str) -> str:
    """Write a line to the end of a file."""
    with Path(path).open("a") as file:
        file.write(f"{line}\n")
    return line


@function
def tidy(path: str) -> None:
    """Undoes `leave_something`."""
    Path(path).unlink()


@function(on_failure="tidy", writes=["the thing"])
def leave_something(path: str) -> None:
    """Leaves a file and fails."""
    Path(path).write_text("left")
    raise ValueError("no")


@function
def listed(count: int) -> list[int]:
    """Numbers in a list."""
    return list(range(count))
