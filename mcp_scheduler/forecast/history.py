"""The last runs of one key, and three guesses at the next: all in logarithms, because run times differ by factors."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import Final

LENGTH: Final = 200  # runs that are remembered
RECENT: Final = 10
NEIGHBOURS: Final = 5
METHODS: Final = ("recent", "linear", "nearest", "trained")


class History:
    """Runs as (size, value): `size` counts half powers of two of the input's bytes, `value` is a natural logarithm."""

    __slots__ = ("_by_size", "_recent", "_sizes", "_sx", "_sxx", "_sxy", "_sy", "runs")

    def __init__(self) -> None:
        self.runs: deque[tuple[int, float]] = deque()
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._by_size: dict[int, deque[float]] = {}
        self._sizes: list[int] = []  # in order
        self._sx = self._sxx = 0
        self._sy = self._sxy = 0.0

    def __len__(self) -> int:
        return len(self.runs)

    def add(self, size: int, value: float) -> None:
        """The newest run; the oldest one beyond `LENGTH` is forgotten."""
        self.runs.append((size, value))
        self._recent.append(value)
        same = self._by_size.get(size)
        if same is None:
            same = self._by_size[size] = deque()
            insort(self._sizes, size)
        same.append(value)
        self._count(size, value, 1)
        if len(self.runs) > LENGTH:
            self.drop_oldest()

    def drop_oldest(self) -> None:
        size, value = self.runs.popleft()
        same = self._by_size[size]
        same.popleft()
        if not same:
            del self._by_size[size]
            del self._sizes[bisect_left(self._sizes, size)]
        self._count(size, value, -1)

    def _count(self, size: int, value: float, sign: int) -> None:
        self._sx += sign * size
        self._sxx += sign * size * size
        self._sy += sign * value
        self._sxy += sign * size * value

    def recent(self) -> float:
        """The median of the last ten."""
        return _median(sorted(self._recent))

    def linear(self, size: int) -> float:
        """Least squares of value over size: a power law between input and time. The mean where all sizes are equal.

        It is not followed beyond the sizes that were seen by more than a factor of four: power laws end somewhere."""
        count = len(self.runs)
        spread = count * self._sxx - self._sx * self._sx
        if spread == 0:
            return self._sy / count
        slope = (count * self._sxy - self._sx * self._sy) / spread
        inside = min(max(size, self._sizes[0] - 4), self._sizes[-1] + 4)
        return (self._sy + slope * (count * inside - self._sx)) / count

    def nearest(self, size: int) -> float:
        """The median of the five runs of the most similar size, of equal ones the latest."""
        sizes, found = self._sizes, list[float]()
        right = bisect_left(sizes, size)
        left = right - 1
        while len(found) < NEIGHBOURS and (left >= 0 or right < len(sizes)):
            if right < len(sizes) and (left < 0 or sizes[right] - size <= size - sizes[left]):
                same = self._by_size[sizes[right]]
                right += 1
            else:
                same = self._by_size[sizes[left]]
                left -= 1
            for place in range(1, min(NEIGHBOURS - len(found), len(same)) + 1):
                found.append(same[-place])
        found.sort()
        return _median(found)

    def beyond(self, value: float) -> float | None:
        """The median of the runs that were longer than this; None if there was none."""
        longer = sorted(other for _, other in self.runs if other > value)
        return _median(longer) if longer else None


def _median(ordered: list[float]) -> float:
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
