"""How many CPUs a pool offers, between a least and a most: more while tasks wait and the host has room, fewer when
nobody waits or the host is busy.

Three signals vote, each with its weight, for growing or for shrinking: tasks wait for longer than 200 ms (0.6), the
CPUs of the host are busy beyond 85 % (0.3, against growing), more than 5 % of the calls end badly (0.1, against
growing). So waiting alone does not grow the pool of a busy host (0.6 - 0.3 + 0.1), nor do errors alone hold it back.
Hysteresis: two looks in a row must want to grow, six to shrink, and between the two thresholds nothing moves.
"""

from __future__ import annotations

from typing import Final

LATENCY: Final = (0.6, 0.2)  # weight, threshold: seconds that tasks wait
CPU: Final = (0.3, 85.0)  # percent of the host
ERRORS: Final = (0.1, 5.0)  # percent of the calls that ended of late
GROW: Final = 0.7
SHRINK: Final = 0.0
TO_GROW: Final = 2  # looks in a row
TO_SHRINK: Final = 6
STEP: Final = 0.25  # of what is offered, but one CPU at least
_SOOTHE: Final = 0.05
_MILLI: Final = 1000


class Elastic:
    """`offered`, `least` and `most` are thousandths of CPUs. `score`: of the last look, between -1 and 1."""

    __slots__ = ("_run", "errors", "least", "most", "offered", "score")

    def __init__(self, least: int, most: int) -> None:
        self.least, self.most = min(least, most), most
        self.offered = self.least
        self.errors = 0.0
        self.score = 0.0
        self._run = 0  # looks in a row that want to grow; negative: to shrink

    def ended(self, *, bad: bool) -> None:
        """A call has ended."""
        self.errors += _SOOTHE * (100.0 * bad - self.errors)

    def look(self, waiting: float, cpu: float) -> int:
        """What is offered from now on. `waiting`: seconds for which somebody has found no CPUs; `cpu`: percent."""
        self.score = score(waiting, cpu, self.errors)
        if self.score >= GROW:
            self._run = max(self._run, 0) + 1
        elif self.score <= SHRINK:
            self._run = min(self._run, 0) - 1
        else:
            self._run = 0
        step = max(_MILLI, round(self.offered * STEP))
        if self._run >= TO_GROW:
            self.offered, self._run = min(self.most, self.offered + step), 0
        elif self._run <= -TO_SHRINK:
            self.offered, self._run = max(self.least, self.offered - step), 0
        return self.offered


def score(waiting: float, cpu: float, errors: float) -> float:
    """The votes together: 1 is to grow, -1 to shrink."""
    has_room = CPU[0] * _vote(cpu <= CPU[1]) + ERRORS[0] * _vote(errors <= ERRORS[1])
    return LATENCY[0] * _vote(waiting > LATENCY[1]) + has_room


def _vote(yes: bool) -> int:
    return 1 if yes else -1
