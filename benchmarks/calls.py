"""The benchmark's functions, as the scheduler's workers import them."""

from __future__ import annotations

from mcp_scheduler import function


@function
def noop(value: int = 0) -> int:
    """The work: none."""
    return value
