"""A statement over many rows in one step of SQLite.

The driver gives the interpreter lock away at each step, and beside a busy event loop waits 5 ms to get it back: row by
row (`executemany`) a commit of 256 tasks takes 2 s there, as one step over a table of values 30 ms. It is also quicker
when nothing else runs. SQLAlchemy compiles the statement once, for one row; the row is then repeated in the text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, Final

from sqlalchemy import CTE, TEXT, ClauseElement, Connection, column, values
from sqlalchemy.dialects import sqlite

from mcp_scheduler.store.transaction import raw

SIZES: Final = (256, 64, 16, 4, 1)  # few, so that the driver's cache keeps them all prepared
Row = tuple[Any, ...]


class Block:
    """`build` makes the statement from the table of values, whose columns are named by `columns`.

    The last block is filled up with rows of NULL: the statement must pass over rows whose first column is NULL.
    """

    def __init__(self, columns: str, build: Callable[[CTE], ClauseElement]) -> None:
        self._columns = columns.split()
        self._build = build

    @cached_property
    def texts(self) -> dict[int, str]:
        """The statement's SQL for each number of rows."""
        width = len(self._columns)
        # The type is a placeholder, too: SQLite keeps each value as it was bound.
        one = values(*(column(name, TEXT) for name in self._columns), name="v").data([("",) * width]).cte("v")
        text = str(self._build(one).compile(dialect=sqlite.dialect()))
        row = f"({', '.join('?' * width)})"
        assert text.count("?") == width, text  # the statement's own constants are literals
        head, tail = text.split(row)
        return {size: head + ", ".join([row] * size) + tail for size in SIZES}

    def run(self, connection: Connection, rows: Sequence[Row]) -> int:
        """Carries it out for `rows`; the number of rows it changed."""
        if not rows:
            return 0
        driver = raw(connection)
        before = driver.total_changes
        filler = (None,) * len(self._columns)
        start = 0
        while start < len(rows):
            size = _size(len(rows) - start)
            part = rows[start : start + size]
            flat = tuple(chain.from_iterable([*part, *[filler] * (size - len(part))]))
            driver.execute(self.texts[size], flat)  # SQLAlchemy's way to it takes longer than a row
            start += size
        return driver.total_changes - before


def _size(left: int) -> int:
    """The largest block that is full, or, for a short rest, the smallest that holds it."""
    if left >= SIZES[1]:
        return max(size for size in SIZES if size <= left)
    return min(size for size in SIZES if size >= left)
