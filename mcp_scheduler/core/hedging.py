"""What copies for late tasks may cost, and whether they are of any use.

Work with devices and work without them have an account each, in seconds times the share of the cluster that was held.
Every other attempt earns its account a twentieth of what it took, and a copy is paid from that when it begins, by what
is expected of it; when it has ended, by what it took. So copies take at most 5 % of the time of all others, beyond that
no more than the last of them was underestimated by. (The idea: Dean and Barroso, The Tail at Scale, CACM 2013.)
The next engine takes both up: an `Account`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from mcp_scheduler.core.account import Key

PART: Final = 0.05  # of the time of all other attempts
LAST: Final = 50  # copies of a target, by which it is judged
RARELY: Final = 0.1  # a target of which fewer copies than this part have won gets no more
PROBE: Final = 10  # of the late tasks of such a target one in so many gets a copy all the same: things change
_TARGETS: Final = 1000  # that are remembered
_CREDIT: Final[Key] = ("credit",)  # the key of both accounts; a target has ("of", target)
_OF: Final = "of"


@dataclass(slots=True)
class Record:
    """The last copies of one target, True for those that won, and how many late tasks got none since."""

    wins: deque[bool] = field(default_factory=lambda: deque[bool](maxlen=LAST))
    passed: int = 0

    @property
    def is_poor(self) -> bool:
        return len(self.wins) == LAST and sum(self.wins) < RARELY * LAST


class Hedging:
    """Two accounts, and a record for each target."""

    __slots__ = ("_credit", "_records", "_reserved", "touched")

    def __init__(self) -> None:
        self._credit = [0.0, 0.0]  # without devices, with devices
        self._reserved: dict[object, tuple[bool, float]] = {}  # copy under way → account, and what was taken from it
        self._records: dict[str, Record] = {}
        self.touched: set[Key] = set()

    def earn(self, amount: float, *, on_devices: bool) -> None:
        """An attempt that is no such copy has ended, and took so much."""
        self._credit[on_devices] += PART * amount
        self.touched.add(_CREDIT)

    def affords(self, amount: float, *, on_devices: bool) -> bool:
        return self._credit[on_devices] >= amount

    def begin(self, copy: object, amount: float, *, on_devices: bool) -> None:
        """A copy begins that is expected to take so much."""
        self._reserved[copy] = (on_devices, amount)
        self._credit[on_devices] -= amount

    def is_copy(self, attempt: object) -> bool:
        return attempt in self._reserved

    def end(self, copy: object, amount: float) -> None:
        """It has ended, and took so much."""
        on_devices, expected = self._reserved.pop(copy)
        self._credit[on_devices] += expected - amount
        self.touched.add(_CREDIT)

    def forget_copies(self) -> None:
        """Nothing is under way any more, as far as is known: what follows tells it anew."""
        for copy in list(self._reserved):
            self.end(copy, 0.0)

    # --- whether they are of use

    def judge(self, target: str, *, won: bool) -> None:
        """A copy of this target has won, or was beaten by the attempt that it was to replace."""
        record = self._records.pop(target, None) or Record()
        self._records[target] = record  # as the one that was judged last
        record.wins.append(won)
        self.touched.add((_OF, target))
        if len(self._records) > _TARGETS:
            oldest = next(iter(self._records))
            del self._records[oldest]
            self.touched.add((_OF, oldest))

    def wants(self, target: str) -> bool:
        """Whether a late task of this target is to have a copy. To be asked once for each."""
        record = self._records.get(target)
        if record is None or not record.is_poor:
            return True
        record.passed += 1
        self.touched.add((_OF, target))
        return record.passed % PROBE == 0

    def why_off(self, target: str) -> str:
        """Why tasks of this target get no copies; "" where they do."""
        record = self._records.get(target)
        if record is None or not record.is_poor:
            return ""
        return f"hedging is off for {target}: of its last {LAST} copies {sum(record.wins)} came first"

    # --- an account

    def row(self, key: Key) -> list[Any] | None:
        """Of copies under way nothing is taken off yet: the next engine counts them when they end."""
        if key == _CREDIT:
            credit = list(self._credit)
            for on_devices, amount in self._reserved.values():
                credit[on_devices] += amount
            return credit
        record = self._records.get(key[1])
        return None if record is None else [record.passed, [int(won) for won in record.wins]]

    def take_up(self, key: Key, row: list[Any], now: float) -> None:  # noqa: ARG002 - nothing here has a date
        if key == _CREDIT:
            self._credit[False] += float(row[0])
            self._credit[True] += float(row[1])
            return
        wins = deque((bool(won) for won in row[1]), LAST)
        self._records[key[1]] = Record(wins, int(row[0]))
