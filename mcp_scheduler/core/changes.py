"""What `decide` returns: durable changes, committed in one transaction, and effects, carried out after that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, cast

from mcp_scheduler.core.events import Ended, Group, NewTask, Origin
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Attempt
from mcp_scheduler.core.states import Reason
from mcp_scheduler.core.task import Extras, Status, Terms


@dataclass(frozen=True, slots=True)
class Remembered:
    """A changing request has been carried out: sent again, it is answered from `tasks` and changes nothing."""

    origin: Origin
    verb: str
    tasks: tuple[str, ...]


# As factories `list[X]` and `dict[X, Y]` take ten times as long, a dozen times in each decision.
_list: Final = cast("Callable[[], list[Any]]", list)
_dict: Final = cast("Callable[[], dict[Any, Any]]", dict)


@dataclass(slots=True)
class Changes:
    """One transaction. A task appears in `added` (with its status at the end of the batch) or in `statuses`."""

    groups: list[Group] = field(default_factory=_list)
    added: list[NewTask] = field(default_factory=_list)
    statuses: dict[str, Status] = field(default_factory=_dict)
    deadlines: dict[str, float | None] = field(default_factory=_dict)
    extras: dict[str, Extras] = field(default_factory=_dict)
    terms: dict[str, Terms] = field(default_factory=_dict)  # of tasks that claim more memory from now on
    started: list[Attempt] = field(default_factory=_list)
    ended: list[Ended] = field(default_factory=_list)
    returned: list[AttemptId] = field(default_factory=_list)
    remembered: list[Remembered] = field(default_factory=_list)
    # Told to whoever runs them, and not stored: an engine that dies leaves nothing standing still.
    stilled: dict[AttemptId, float] = field(default_factory=_dict)  # → since when
    continued: dict[AttemptId, float] = field(default_factory=_dict)  # → seconds that it stood still
    leavings: list[str] = field(default_factory=_list)  # files of results that nobody wants: not stored either

    def __bool__(self) -> bool:
        return bool(
            self.groups
            or self.added
            or self.statuses
            or self.deadlines
            or self.extras
            or self.terms
            or self.started
            or self.ended
            or self.returned
            or self.remembered
            or self.stilled
            or self.continued
        )


@dataclass(frozen=True, slots=True)
class Launch:
    """Hand these attempts, in this order, to the slot's worker. The first launch of a slot creates it."""

    slot: str
    node: str
    terms: Terms
    attempts: tuple[AttemptId, ...]
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stop:
    """End a running attempt: politely, after the grace time by force, until none of its processes is left."""

    attempt: AttemptId
    reason: Reason | None  # None: a person asked


@dataclass(frozen=True, slots=True)
class Pause:
    """Let the processes of a command stand still; ask a function to give way. One that has not begun is given back."""

    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class Continue:
    """Let a command that stands still go on."""

    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class Recall:
    """Take back what the slot's worker has not begun: another place is free."""

    slot: str


@dataclass(frozen=True, slots=True)
class Evict:
    """End the warm worker of a slot that rests on devices: somebody else needs them. `SlotGone` answers."""

    slot: str


@dataclass(frozen=True, slots=True)
class Settle:
    """The ends of these attempts are durable now: the executor may drop its own records of them."""

    attempts: tuple[AttemptId, ...]


Effect = Launch | Stop | Pause | Continue | Recall | Evict | Settle
