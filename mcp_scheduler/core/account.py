"""What is counted beside the tasks, and outlives an engine: a few small rows for each account."""

from __future__ import annotations

from typing import Any, Protocol

Key = tuple[str, ...]


class Account(Protocol):
    """Its rows are what JSON can say. They are written now and then, not with each change, and read once: a crash takes
    the changes of some seconds."""

    touched: set[Key]  # the keys of rows that have changed since somebody has last written them

    def row(self, key: Key) -> list[Any] | None:
        """What is to be kept under the key; None where there is nothing more to keep."""
        ...

    def take_up(self, key: Key, row: list[Any], now: float) -> None:
        """A row of the last engine. Times beyond `now` are those of a clock that was wrong: nothing waits for them.
        Errors: ValueError, IndexError, TypeError for one that cannot be understood."""
        ...
