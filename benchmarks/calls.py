"""The benchmark's functions, as the scheduler's workers import them."""

from __future__ import annotations

import time

from mcp_scheduler import function


@function
def noop(value: int = 0) -> int:
    """The work: none."""
    return value


@function
def nap(seconds: float) -> float:
    """The work: waiting."""
    time.sleep(seconds)
    return seconds


@function
def hold(seconds: float) -> float:
    """So long that every slot gets a worker of its own."""
    time.sleep(seconds)
    return seconds
