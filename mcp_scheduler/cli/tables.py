"""Tables: drawn by rich on a terminal, aligned plain text (never shortened) in a pipe."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Final

from mcp_scheduler.cli import out

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as Drawing

_GAP: Final = 2
_NARROWEST: Final = 10
_STYLES: Final = {
    "succeeded": "green",
    "failed": "bold red",
    "running": "cyan",
    "queued": "yellow",
    "retrying": "magenta",
    "held": "blue",
    "cancelled": "dim",
    "skipped": "dim",
    "OK": "green",
    "WARN": "yellow",
    "FAIL": "bold red",
}
_CODES: Final = {
    "": "0", "dim": "2", "green": "32", "yellow": "33", "blue": "34", "magenta": "35", "cyan": "36", "bold red": "1;31"
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `cut` columns give way when the terminal is narrow; the others keep every character."""

    title: str
    right: bool = False
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """What a table shows."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]

    def show(self) -> None:
        """Print it."""
        show(self.columns, self.rows)


def show(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print a table. Columns in which no row has anything are left out."""
    if out.on_terminal():
        console().print(drawn(columns, rows))
        return
    columns, rows = _filled(columns, rows)
    widths = _widths(columns, rows)
    for cells in [[column.title for column in columns], *rows]:
        padded = (
            cell.rjust(width) if column.right else cell.ljust(width)
            for column, cell, width in zip(columns, cells, widths, strict=True)
        )
        out.line((" " * _GAP).join(padded).rstrip())


def console() -> Console:
    """A console on standard output. Nothing of what it prints is taken for markup or highlighted."""
    from rich.console import Console  # noqa: PLC0415 - 60 ms that only a terminal is worth

    return Console(markup=False, highlight=False, emoji=False)


def coloured(state: str, width: int) -> str:
    """A state's name for a line of its own, coloured on a terminal that wants colour."""
    padded = state.ljust(width)
    if not out.on_terminal() or os.environ.get("NO_COLOR"):
        return padded
    return f"\x1b[{_CODES[_STYLES.get(state, '')]}m{padded}\x1b[0m"


def drawn(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Drawing:
    """The table as wide as the terminal allows. A cell that is a state's name is coloured."""
    from rich.table import Table as Drawing  # noqa: PLC0415 - as in `console`
    from rich.text import Text  # noqa: PLC0415 - as in `console`

    columns, rows = _fitting(*_filled(columns, rows), get_terminal_size().columns)
    limits = _limits(columns, _widths(columns, rows), get_terminal_size().columns)
    table = Drawing(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for column, limit in zip(columns, limits, strict=True):
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=column.cut,
            overflow="ellipsis" if column.cut else "fold",
            max_width=limit,
        )
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    return table


def _filled(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> tuple[list[Column], list[list[str]]]:
    """The table without columns in which no row has anything."""
    return _only([index for index in range(len(columns)) if any(row[index] for row in rows)], columns, rows)


def _fitting(columns: list[Column], rows: list[list[str]], width: int) -> tuple[list[Column], list[list[str]]]:
    """The table without the first of the `cut` columns, as long as there is no room for all of them."""
    while cut := [index for index, column in enumerate(columns) if column.cut]:
        widths = _widths(columns, rows)
        if _left(columns, widths, width) >= sum(min(_NARROWEST, widths[index]) for index in cut):
            break
        columns, rows = _only([index for index in range(len(columns)) if index != cut[0]], columns, rows)
    return columns, rows


def _only(
    kept: Sequence[int], columns: Sequence[Column], rows: Sequence[Sequence[str]]
) -> tuple[list[Column], list[list[str]]]:
    return [columns[index] for index in kept], [[row[index] for index in kept] for row in rows]


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[int]:
    lines = [[column.title for column in columns], *rows]
    return [max(len(cell) for cell in cells) for cells in zip(*lines, strict=True)]


def _left(columns: Sequence[Column], widths: Sequence[int], width: int) -> int:
    """What the other columns leave to the `cut` ones."""
    taken = sum(own for column, own in zip(columns, widths, strict=True) if not column.cut)
    return width - _GAP * (len(columns) - 1) - taken


def _limits(columns: Sequence[Column], widths: Sequence[int], width: int) -> list[int | None]:
    """The widest that each column may be: what the others leave goes to the `cut` ones, in fair shares."""
    left = _left(columns, widths, width)
    cut = [index for index, column in enumerate(columns) if column.cut]
    limits: list[int | None] = [None] * len(columns)
    for place, index in enumerate(cut):
        fair = left // (len(cut) - place)
        spare = left - sum(min(widths[later], fair) for later in cut[place + 1 :])
        limit = min(widths[index], max(_NARROWEST, fair, spare))
        limits[index] = limit
        left -= limit
    return limits
