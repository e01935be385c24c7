"""Tables of the report, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Line = Sequence[str]


def table(head: Line, lines: Iterable[Line]) -> str:
    """A Markdown table."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def hours(seconds: float) -> str:
    """Seconds as hours."""
    return f"{seconds / 3600:,.0f} h"
