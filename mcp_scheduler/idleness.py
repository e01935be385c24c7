"""Whether an engine has been idle for so long that it may leave."""

from __future__ import annotations

from typing import Final

LOOKS: Final = 10  # so often the engine is looked at within its idle time


class Idleness:
    """Counts the looks, one after the other, at which nothing was going on and before which nobody had come. A look
    alone would not do: a client that comes for a moment and leaves is seen by none."""

    def __init__(self) -> None:
        self._quiet = 0
        self._visits = 0

    def look(self, *, visits: int, is_busy: bool) -> bool:
        """Whether the idle time is over. `visits` counts the doors that were ever opened."""
        is_quiet = not is_busy and visits == self._visits
        self._quiet = self._quiet + 1 if is_quiet else 0
        self._visits = visits
        return self._quiet >= LOOKS
