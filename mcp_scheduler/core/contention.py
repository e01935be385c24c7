"""What was seen of waiting for named things: how often, for how long, and how many gave up. Observed since the engine
started, never stored; a batch that could not be committed may be counted twice."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

KEPT: Final = 1000  # things; beyond that the one that was waited for longest ago is forgotten


@dataclass(slots=True)
class Waits:
    """The waits for one thing that are over, in seconds. `given_up`: the task was cancelled, held back or timed out
    before its turn came."""

    count: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    given_up: int = 0

    @property
    def mean(self) -> float:
        return self.seconds / self.count if self.count else 0.0


class Contention:
    """The waits for each thing that was ever waited for."""

    __slots__ = ("things",)

    def __init__(self) -> None:
        self.things: OrderedDict[str, Waits] = OrderedDict()

    def note(self, thing: str, seconds: float, *, in_vain: bool) -> None:
        """A wait for the thing is over."""
        waits = self.things.get(thing)
        if waits is None:
            waits = self.things[thing] = Waits()
            if len(self.things) > KEPT:
                self.things.popitem(last=False)
        else:
            self.things.move_to_end(thing)
        waits.count += 1
        waits.seconds += seconds
        waits.longest = max(waits.longest, seconds)
        waits.given_up += in_vain
