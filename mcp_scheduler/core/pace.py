"""How long calls took of late: the measure by which waiting is long or short."""

from __future__ import annotations

from typing import Final

MEMORY: Final = 256  # calls


class Pace:
    """The mean seconds of the last few hundred calls, the latest counting most; `FIRST` until one has ended."""

    __slots__ = ("_count", "_mean")
    FIRST: Final = 60.0

    def __init__(self) -> None:
        self._mean = 0.0
        self._count = 0

    def copy(self) -> Pace:
        """The same, to go on by itself."""
        other = Pace()
        other._mean, other._count = self._mean, self._count
        return other

    def note(self, seconds: float) -> None:
        self._count = min(MEMORY, self._count + 1)
        self._mean += (max(0.0, seconds) - self._mean) / self._count

    @property
    def seconds(self) -> float:
        return self._mean if self._count else self.FIRST
