"""Which nodes and devices are not to be trusted just now: a circuit breaker for each place that fails.

Failures of the place itself (a process that died without a result, an attempt of which nobody knows the end) are
counted in a row. At the `after`-th the place is shut for a time; then it is on probation: one task at a time, until one
has shown that the place is well, or it is shut again, for twice as long. After the circuit breaker of Nygard, "Release
It!", with its states closed (`trusted` here), open (`shut`) and half-open (`probation`).

Two things are no evidence. What began before the last failure was counted tells of the same incident: a power cut that
ends twenty attempts is one failure. And a function that crashes everywhere is to blame itself: it takes two functions,
or one that has run well elsewhere meanwhile.

The next engine goes on with them: an `Account`.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf
from typing import Any, Final

from mcp_scheduler.core.account import Key

TARGETS: Final = 4096  # that are suspected; beyond that the one suspected longest ago is forgotten
AFTER: Final = 3
FIRST: Final = 30.0
LONGEST: Final = 900.0

Place = tuple[str, str]  # a node, and one of its devices; "" for the node itself


class Trust(StrEnum):
    """How far a place is used."""

    TRUSTED = "trusted"
    SHUT = "shut"  # nothing is started there
    PROBATION = "probation"  # one task at a time


@dataclass(slots=True)
class Breaker:
    """A place that has failed. `targets`: of the failures in a row; `since`: the first of them; `tried_at`: the last
    one, what began before it is not counted. `trips`: how often it was shut in a row; `until`: when it leaves this
    state, or is looked at; `probe_at`: when what runs on probation began; `opened_at`: when it was trusted again."""

    since: float
    targets: deque[str]
    trust: Trust = Trust.TRUSTED
    tried_at: float = -inf
    trips: int = 0
    until: float = inf
    probe_at: float = inf
    opened_at: float = -inf
    lone: bool = False  # it would be shut, but there is no other place for what it runs
    why: str = ""

    @property
    def lasts(self) -> int:
        """How often its time has doubled."""
        return max(0, self.trips - 1)


class Breakers:
    """The breakers of all places that have failed since they last did well. `after`: failures in a row, 0 for never;
    `first`: seconds for which a place is shut the first time; `longest`: at most."""

    __slots__ = ("_worked", "after", "first", "known", "longest", "next_at", "touched")

    def __init__(self, after: int = AFTER, first: float = FIRST, longest: float = LONGEST) -> None:
        self.after, self.first, self.longest = after, first, max(first, longest)
        self.known: dict[Place, Breaker] = {}
        self.next_at = inf  # when the first of them is to be looked at
        self._worked: OrderedDict[str, float] = OrderedDict()  # target under suspicion → when it last did well
        self.touched: set[Key] = set()

    def copy(self) -> Breakers:
        """The same, to go on with elsewhere."""
        made = Breakers(self.after, self.first, self.longest)
        made.known = {place: replace(one, targets=one.targets.copy()) for place, one in self.known.items()}
        made.next_at = self.next_at
        made._worked = self._worked.copy()
        return made

    def failed(self, place: Place, target: str, began: float, now: float) -> Breaker | None:
        """An attempt of `target` that had begun at `began` failed for reasons of the place. The breaker, if the place
        is to be shut now."""
        breaker = self.known.get(place)
        if breaker is None:
            breaker = self.known[place] = Breaker(now, deque(maxlen=self.after))
        if breaker.trust is Trust.SHUT or began < breaker.tried_at:
            return None
        if not breaker.targets:
            breaker.since = now
        breaker.targets.append(target)
        breaker.tried_at = now
        self.touched.add(place)
        self._suspect(target)
        if breaker.trust is Trust.PROBATION or self._is_to_blame(breaker):
            return breaker
        return None

    def did_well(self, place: Place, target: str, now: float) -> bool:
        """A call has come to an end of its own there. Whether that ends the probation of the place."""
        if target in self._worked:
            self._worked[target] = now
        breaker = self.known.get(place)
        if breaker is None or breaker.trust is Trust.SHUT:
            return False
        if breaker.trust is Trust.PROBATION:
            self.open(place, now)
            return True
        if breaker.targets:
            self.touched.add(place)
        breaker.targets.clear()
        breaker.lone = False
        if now - breaker.opened_at > self.longest:
            self.forget(place)
        return False

    def shut(self, place: Place, now: float) -> float:
        """The seconds for which it is shut from now on: twice as long as the last time, where that was not long ago."""
        breaker = self.known[place]
        if breaker.trust is Trust.TRUSTED and now - breaker.opened_at > self.longest:
            breaker.trips = 0
        breaker.trips += 1
        seconds = min(self.longest, self.first * 2.0 ** min(breaker.lasts, 60))
        breaker.trust, breaker.lone = Trust.SHUT, False
        self._look_at(place, now + seconds)
        return seconds

    def try_again(self, place: Place) -> None:
        """Its time is over: one task may try it."""
        breaker = self.known[place]
        breaker.trust, breaker.probe_at = Trust.PROBATION, inf
        self._look_at(place, inf)

    def began(self, place: Place, now: float) -> None:
        """Something was started there, which may be the probe: one that lasts for long has shown that the place is
        well."""
        breaker = self.known.get(place)
        if breaker is not None and breaker.trust is Trust.PROBATION:
            breaker.probe_at = now
            self._look_at(place, now + self.first)

    def open(self, place: Place, now: float) -> None:
        """It is trusted again. How often it was shut is remembered for a while."""
        breaker = self.known[place]
        breaker.trust, breaker.opened_at, breaker.lone = Trust.TRUSTED, now, False
        breaker.targets.clear()
        self._look_at(place, inf)

    def forget(self, place: Place) -> None:
        """Nothing is known of it any more."""
        if self.known.pop(place, None) is not None:
            self.touched.add(place)

    def due(self, now: float) -> list[Place]:
        """Places that are to be looked at now."""
        if self.next_at > now:
            return []
        return [place for place, breaker in self.known.items() if breaker.until <= now]

    def trust(self, place: Place) -> Trust:
        breaker = self.known.get(place)
        return Trust.TRUSTED if breaker is None else breaker.trust

    def _is_to_blame(self, breaker: Breaker) -> bool:
        targets = set(breaker.targets)
        works_elsewhere = any(self._worked.get(target, -inf) >= breaker.since for target in targets)
        return len(breaker.targets) >= self.after and (len(targets) > 1 or works_elsewhere)

    def _suspect(self, target: str) -> None:
        if target not in self._worked:
            self._worked[target] = -inf
            if len(self._worked) > TARGETS:
                self._worked.popitem(last=False)

    def _look_at(self, place: Place, at: float) -> None:
        self.known[place].until = at
        self.touched.add(place)
        self.next_at = min((one.until for one in self.known.values()), default=inf)

    # --- an account

    def row(self, key: Key) -> list[Any] | None:
        one = self.known.get((key[0], key[1]))
        if one is None:
            return None
        times = [one.since, one.tried_at, one.until, one.probe_at, one.opened_at]
        return [one.trust, list(one.targets), one.trips, one.lone, one.why, times]

    def take_up(self, key: Key, row: list[Any], now: float) -> None:
        """A place that was trusted again long ago is trusted; where nothing is withheld any more by the settings,
        nothing is."""
        trust, targets, trips, lone, why, times = row
        since, tried_at, until, probe_at, opened_at = map(float, times)
        place, recent = (key[0], key[1]), now - self.longest
        if not self.after or (Trust(trust) is Trust.TRUSTED and max(tried_at, opened_at) < recent):
            self.touched.add(key)
            return
        breaker = self.known[place] = Breaker(min(since, now), deque(targets, self.after), Trust(trust))
        breaker.trips, breaker.lone, breaker.why = int(trips), bool(lone), str(why)
        breaker.tried_at, breaker.opened_at = min(tried_at, now), min(opened_at, now)
        breaker.probe_at = probe_at if probe_at == inf else min(probe_at, now)
        for target in breaker.targets:
            self._suspect(target)
        self._look_at(place, until if until == inf else min(until, now + self.longest))
