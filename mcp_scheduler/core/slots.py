"""Reservations: a slot holds a part of a node for the attempts that follow each other in it."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import IntEnum
from math import ceil, inf, log2
from typing import Final, cast

from mcp_scheduler.core.devices import Devices
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Node
from mcp_scheduler.core.task import Kind, Needs, Terms
from mcp_scheduler.errors import InvariantBroken

Lane = tuple[Kind, str, Needs]

WINDOW_SECONDS: Final = 0.02  # calls expected to take longer than this together do not queue behind each other
WINDOW_CALLS: Final = 400  # which is some 20 ms even if the calls themselves take none
STAND_BY: Final = 0.01  # seconds around the expected end of a longer call: then the next one may stand behind it
STAND_BY_LONGEST: Final = 1.0  # seconds: the ends of calls that take longer are not foreseen so well
FIRST_GUESS: Final = 1.0  # seconds that a call of unknown length is taken to go on at its beginning
_LEAST: Final = 1e-6
DEVICES: Final = "gpus"  # what a room without free devices is short of, beside the names of its amounts
PATIENCE: Final = 0.05  # after this time at the head of others, a call is not the short one it was taken for


def lane_of(terms: Terms) -> Lane:
    """Calls of one lane may follow each other in one slot: same kind, environment and needs."""
    return (terms.kind, terms.environment, terms.needs)


# As a factory `dict[X, Y]` takes ten times as long.
_no_attempts: Final = cast("Callable[[], dict[AttemptId, float]]", dict)


@dataclass(slots=True, eq=False)
class Slot:
    """A reservation. `attempts` are in the order in which the worker takes them; `expected` is their time in all,
    `since` when the first of them became the first, or when the slot became empty. `launched`: an executor knows it."""

    id: str
    node: str
    terms: Terms
    devices: tuple[str, ...] = ()
    launched: bool = False
    attempts: dict[AttemptId, float] = field(default_factory=_no_attempts)  # → expected seconds
    expected: float = 0.0
    since: float = 0.0
    bound: float = inf  # when its attempts will have ended, by the upper bounds of what they take; infinite: unknown
    watched: bool = False  # a timer looks at it
    share: float = 0.0  # the dominant share of its needs
    still_since: float | None = None  # its command stands still: others have its CPUs meanwhile

    def add(self, attempt: AttemptId, seconds: float, now: float, upper: float = inf) -> None:
        if not self.attempts:
            self.since = self.bound = now
        self.attempts[attempt] = seconds
        self.expected += seconds
        self.bound += upper

    def drop(self, attempt: AttemptId, at: float) -> bool:
        """Take an attempt out that ended at this time; True when that leaves the slot empty."""
        self.expected -= self.attempts.pop(attempt)
        self.since = at
        if self.bound < inf:
            self.bound = at + self.expected  # of several there are bounds only where all are short
        return not self.attempts

    @property
    def amounts(self) -> tuple[tuple[str, int], ...]:
        """What it holds of its node."""
        amounts = self.terms.needs.amounts
        return amounts if self.still_since is None else tuple(one for one in amounts if one[0] != "cpus")

    def shift(self, seconds: float) -> None:
        """It stood still for so long: all that is expected of it comes later."""
        self.since += seconds
        self.bound += seconds

    def ends_by(self, now: float) -> float:
        """When it is expected to be empty. A bound that it has outlived doubles; where there is none, it is expected to
        go on for as long as it has lasted. Otherwise an overdue call would seem to end now for ever, and nothing
        would be put in its shadow."""
        if self.bound > now and self.bound < inf:
            return self.bound
        age = max(now - self.since, 0.0)
        if self.bound == inf:
            return now + max(age, FIRST_GUESS)
        first = max(self.bound - self.since, _LEAST)
        return self.since + first * 2.0 ** max(1, ceil(log2(max(age, _LEAST) / first) + _LEAST))

    def expect(self, attempt: AttemptId, seconds: float) -> None:
        """The attempt takes at least so long: nothing queues behind one that has outlived what was expected of it."""
        self.expected += seconds - self.attempts[attempt]
        self.attempts[attempt] = seconds

    @property
    def patience(self) -> float:
        """Seconds for which the first of its calls may run before those behind it are called back."""
        first = next(iter(self.attempts.values()), 0.0)
        return PATIENCE if first <= WINDOW_SECONDS else first + PATIENCE

    @property
    def is_foreseen(self) -> bool:
        """Whether the end of the one call that is here may be awaited by the next one, on the spot."""
        return len(self.attempts) == 1 and WINDOW_SECONDS < self.expected <= STAND_BY_LONGEST

    def is_ending(self, now: float) -> bool:
        """Whether that end is as good as there."""
        return self.is_foreseen and abs(self.since + self.expected - now) <= STAND_BY

    def takes(self, terms: Terms, seconds: float, now: float) -> bool:
        """Whether a call of these terms, expected to take `seconds`, may wait behind those that are here: a function,
        or a command without devices. Their worker or shim takes the next one by itself."""
        return (
            (terms.kind is Kind.FUNCTION or (terms.kind is Kind.COMMAND and not terms.needs.has_devices))
            and len(self.attempts) < WINDOW_CALLS
            and (self.expected + seconds <= WINDOW_SECONDS or self.is_ending(now))
            and (terms is self.terms or (terms.needs == self.terms.needs and lane_of(terms) == lane_of(self.terms)))
            and self.still_since is None
        )


NOTHING: Final[frozenset[str]] = frozenset()


class Guard(IntEnum):
    """What may be started on a node that has failed: see `quarantine`."""

    NONE = 0
    ONE = 1  # while nothing runs there
    SHUT = 2


class Room:
    """A node's capacity and what of it is free. Never below zero: that would be overbooking. `devices` has the tenants
    of its devices; a tenant is named by the id of its slot."""

    __slots__ = (
        "devices",
        "free",
        "guard",
        "limit",
        "limit_why",
        "load",
        "node",
        "on_change",
        "slots",
        "strain",
        "total",
    )

    def __init__(self, node: Node) -> None:
        self.node = node
        self.total = dict(node.amounts)
        self.free = dict(node.amounts)
        self.slots: dict[str, Slot] = {}  # that hold a part of it; those that only stay warm hold devices alone
        self.load = 0.0  # how busy it is, between 0 and 1: see `load`
        self.on_change: Callable[[Room], None] | None = None
        self.devices = Devices()
        self.guard = Guard.NONE
        self.limit, self.limit_why = 0, ""  # thousandths of CPUs that are offered while anything runs here; 0: all
        self.strain = 0.0  # percent of the memory, where it is so full that nothing more should start
        self.devices.on_change = self.changed

    def changed(self) -> None:
        """What is free is not what it was: tell whoever keeps an index."""
        if self.on_change is not None:
            self.on_change(self)

    def clear(self) -> None:
        """Nobody has anything reserved any more. What was seen of the devices, and what is withheld, stays."""
        self.free = dict(self.total)
        self.slots.clear()
        self.devices.clear()
        self.changed()

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is started here: the node is in quarantine, or it is short of memory, and what runs may
        give some back. Where nothing runs the shortage is not ours, and waiting would help nobody."""
        return self.guard is Guard.SHUT or (bool(self.slots) and (self.strain > 0.0 or self.guard is Guard.ONE))

    def is_beyond(self, needs: Needs) -> bool:
        """Whether these needs are more than the pool offers now. Where nothing runs the pool has no limit: a task that
        needs more than it offers has its turn, too."""
        if not self.limit or not self.slots:
            return False
        asked = next((amount for name, amount in needs.amounts if name == "cpus"), 0)
        return asked > 0 and self.total.get("cpus", 0) - self.free.get("cpus", 0) + asked > self.limit

    def fits(self, needs: Needs, avoid: AbstractSet[str] = NOTHING) -> bool:
        """Whether the needs are free now, without the devices that are kept for somebody else."""
        return self.has_amounts(needs) and (not needs.has_devices or self.devices.choose(needs, avoid) is not None)

    def has_amounts(self, needs: Needs) -> bool:
        """The same, for all but devices."""
        if (self.strain or self.guard or self.limit) and (self.is_closed or self.is_beyond(needs)):
            return False
        free = self.free
        for name, amount in needs.amounts:  # noqa: SIM110 - a generator would cost twice as much, for every task
            if free.get(name, 0) < amount:
                return False
        return True

    def could_ever_fit(self, needs: Needs) -> bool:
        """Whether the node is large enough at all."""
        if needs.has_devices and not self.devices.could_ever_fit(needs):
            return False
        return all(self.total.get(name, 0) >= amount for name, amount in needs.amounts)

    def missing(self, needs: Needs) -> list[str]:
        """Which resources are short just now; devices are called `DEVICES`."""
        short = [name for name, amount in needs.amounts if self.free.get(name, 0) < amount]
        if "cpus" not in short and self.is_beyond(needs):
            short.append("cpus")
        if needs.has_devices and not self.devices.fits(needs):
            short.append(DEVICES)
        return short

    def take(self, slot: str, needs: Needs, avoid: AbstractSet[str] = NOTHING) -> tuple[str, ...]:
        """Reserve; the devices. Overbooking is a defect of the program: whoever proposed must have asked `fits`."""
        if not self.has_amounts(needs):
            raise InvariantBroken(f"{needs} was placed on {self.node.name}, where only {self.free} is free.")
        devices = self.devices.take(slot, needs, avoid) if needs.has_devices else ()
        self.seize(needs)
        return devices

    def seize(self, needs: Needs) -> None:
        """Reserve amounts for work that runs already (adopted after a crash), even where the node has shrunk since."""
        free = self.free
        for name, amount in needs.amounts:
            free[name] = free.get(name, 0) - amount
        if self.on_change is not None:
            self.on_change(self)

    def lend(self, name: str, amount: int) -> None:
        """So much of what is reserved is others' for a while; a negative amount takes it back."""
        self.free[name] = self.free.get(name, 0) + amount
        self.changed()

    def give_back(self, needs: Needs) -> None:
        """The amounts are free again. Devices follow when no warm worker keeps them: see `warm`."""
        free = self.free
        for name, amount in needs.amounts:
            free[name] = free.get(name, 0) + amount
        if self.on_change is not None:
            self.on_change(self)

    def resize(self, node: Node) -> None:
        """The node's capacity has changed; what is reserved stays reserved."""
        fresh = dict(node.amounts)
        for name in self.total.keys() | fresh.keys():
            self.free[name] = self.free.get(name, 0) + fresh.get(name, 0) - self.total.get(name, 0)
        self.node, self.total = node, fresh
        self.changed()
