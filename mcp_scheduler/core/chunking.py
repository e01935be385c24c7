"""How long one item of a chunk takes: what the next map of the function is cut by.

The first chunk that ends says it; from then on the guess follows by tenths. A chunk that ended sooner than its items
were thought to take lets the next ones have 1.1 times as many, one that ran over 0.9 times. So one odd chunk moves
little, and the guess comes to rest near the median. Single calls say something else: the first one loads what all use.
"""

from __future__ import annotations

from typing import Final

from mcp_scheduler.core.account import Key

MORE: Final = 1.1  # times the items, after a chunk that was quick
LESS: Final = 0.9  # the same, after one that was slow
BY: Final = " x "  # the target of a chunk is that of the call, by its number of items
_MOST: Final = 4096  # functions; beyond that the one whose chunks ended longest ago is forgotten
_LEAST: Final = 1e-6  # seconds


def is_chunk(target: str) -> bool:
    """Whether the target is that of a chunk. Other names may have a cross in them, too."""
    _, cross, count = target.rpartition(BY)
    return bool(cross) and count.isdecimal() and int(count) > 0


def work(target: str) -> str:
    """The function that is called, once or for each item of a chunk."""
    return target.partition(BY)[0]


class Chunking:
    """Seconds of an item by function. An `Account`."""

    __slots__ = ("_seconds", "touched")

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self.touched: set[Key] = set()

    def learn(self, target: str, seconds: float) -> None:
        """A chunk has succeeded in one go, and took so long in all its parts."""
        function, _, count = target.rpartition(BY)
        each = max(seconds / int(count), _LEAST)
        known = self._seconds.pop(function, None)
        if known is not None:
            each = known / MORE if each <= known else known / LESS
        self._note(function, each)

    def seconds(self, function: str) -> float | None:
        """What an item takes; None where no chunk of it has ended."""
        return self._seconds.get(function)

    def _note(self, function: str, each: float) -> None:
        self._seconds[function] = each
        self.touched.add((function,))
        if len(self._seconds) > _MOST:
            oldest = next(iter(self._seconds))
            del self._seconds[oldest]
            self.touched.add((oldest,))

    # --- an account

    def row(self, key: Key) -> list[float] | None:
        known = self._seconds.get(key[0])
        return None if known is None else [known]

    def take_up(self, key: Key, row: list[float], now: float) -> None:  # noqa: ARG002 - a length has no date
        self._seconds[key[0]] = max(float(row[0]), _LEAST)
