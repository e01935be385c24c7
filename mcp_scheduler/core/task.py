"""What a task is while it is unfinished: a fixed part (`Task`, `Terms`) and a replaceable one (`Status`).

The call's arguments are not here: the core decides without them, so that a million queued tasks fit in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from mcp_scheduler.core.states import FINAL, Reason, State

MILLI: Final = 1000  # cpus and named resources are counted in thousandths: sums of floats drift


class Kind(StrEnum):
    """What a task runs."""

    FUNCTION = "function"
    COMMAND = "command"
    CHAT = "chat"
    TOOL = "tool"
    LEASE = "lease"


class Hashed:
    """A place beside the fields, for a hash that is asked for many times in each decision. It does not travel: texts
    have another hash in another process."""

    __slots__ = ("_hash",)
    _hash: int


@dataclass(frozen=True, slots=True)
class Needs(Hashed):
    """Resources reserved before an attempt starts. `amounts` counts cpus and named resources in thousandths and
    memory in bytes, sorted by name; `gpus` whole GPUs, or, with `gpu_memory` (bytes on each), shared ones."""

    amounts: tuple[tuple[str, int], ...] = (("cpus", MILLI),)
    gpus: int = 0
    gpu_memory: int = 0
    device: str = ""

    def __hash__(self) -> int:
        try:
            return self._hash
        except AttributeError:
            known = hash((self.amounts, self.gpus, self.gpu_memory, self.device))
            object.__setattr__(self, "_hash", known)
            return known

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Needs):
            return NotImplemented
        return (
            self.amounts == other.amounts
            and self.gpus == other.gpus
            and self.gpu_memory == other.gpu_memory
            and self.device == other.device
        )

    @property
    def has_devices(self) -> bool:
        """Whether any device is asked for."""
        return self.gpus > 0 or self.gpu_memory > 0


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and when a task is tried again. `delay · factor**(failures-1)`, at most `max_delay` seconds, of which
    the share `jitter` (0..1) is drawn at random; only for the reasons named in `on`."""

    max_attempts: int = 1
    delay: float = 1.0
    factor: float = 2.0
    max_delay: float = 60.0
    jitter: float = 1.0
    on: frozenset[Reason] = frozenset({Reason.ERROR, Reason.TIMEOUT, Reason.LOST, Reason.CRASHED})


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Terms:
    """What many tasks share. Equal terms are one object in a running engine: queues are keyed by it.

    `target` is `module.function`, or the head of a command; `environment` is the hash of where it runs.
    """

    kind: Kind
    target: str
    environment: str
    principal: str
    needs: Needs = field(default_factory=Needs)
    retry: Retry = field(default_factory=Retry)
    timeout: float | None = None
    idle_timeout: float | None = None
    idempotent: bool = False


@dataclass(frozen=True, slots=True)
class Extras:
    """What few tasks ask for: one object beside the task, so that a million plain ones do not carry it.

    `reads` and `writes` are named things: two tasks conflict if one writes what the other reads or writes. `behind`
    names the conflicting tasks that come before it in its graph: it goes on when they have ended, however they did.

    A task with `every` is an occurrence of a series (its group). The next one is made when it ends, unless that was
    done before or the series was ended: then its part is `over`. `every` is the period in seconds; with `cron` the
    times come from that line, and `every` is their usual distance. `catch_up` tells what becomes of missed times: skip,
    one, all. `occurrence` counts from 1, `time` is the one it stands for (no earlier one is looked at again), `paused`:
    the next one shall be held back.

    `undo` names the compensation of a task, `rollback` tells how it goes: running, done, failed; "" where there was
    none. Of a compensation, `undoes` names its owner, `saga` the graph whose failure it waits for, or its owner where
    that stands alone, or itself once a person has run it again; `turn` counts from 1 the tasks of the graph that have
    succeeded and could be undone.

    `cached_from` names the equal task whose result is this one's: it has succeeded as it came in. `inputs` names the
    set of files that is kept for it, "" for none.

    `source` names the chunk whose results a chunk of a further stage goes on with, one of those it waits for: if that
    fails, the items of it that did not fail go on.

    `replicas` attempts of it run at once; with `hedge` there is a second one when the first is late: see `copies`.

    `pin` is the place that a plan has chosen for it, a node and a class of devices, or one of them ("" for any), () for
    none; it waits for it for `pin_for` seconds at most: see `pins`.
    """

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    every: float = 0.0
    cron: str = ""
    catch_up: str = "one"
    occurrence: int = 0
    time: float = 0.0
    paused: bool = False
    over: bool = False
    undo: str = ""
    undoes: str = ""
    saga: str = ""
    turn: int = 0
    rollback: str = ""
    cached_from: str = ""
    source: str = ""
    inputs: str = ""
    replicas: int = 1
    hedge: bool = False
    pin: tuple[str, ...] = ()
    pin_for: float = 0.0

    @property
    def recurs(self) -> bool:
        """Whether another occurrence follows when this one has ended."""
        return self.every > 0 and not self.over

    @property
    def has_copies(self) -> bool:
        """Whether several attempts of it may be under way."""
        return self.hedge or self.replicas > 1

    def with_rollback(self, word: str) -> Extras:
        """The same, with how the rollback goes."""
        return replace(self, rollback=word)


NO_EXTRAS: Final = Extras()


@dataclass(slots=True)
class Status:
    """The part of a task that changes. A new fact is a new Status; an old one is never touched (not `frozen`: that
    would cost 2 µs for each of the four a task lives through).

    `number` counts attempts handed to an executor (the fence), `failures` and `losses` those that ended badly by the
    call's own doing or by the world's, `crashes` those without a result. `at` is when this state was entered.
    `memory_retries` counts those repeated with a larger claim on memory, beside `failures`.
    `due` is the time that SCHEDULED and RETRYING wait for, and at which a lease that is held lapses. A task that has
    left memory keeps its Status in the store.
    """

    state: State
    at: float
    number: int = 0
    failures: int = 0
    losses: int = 0
    crashes: int = 0
    due: float = 0.0
    held: bool = False
    cancel_requested: bool = False
    reason: Reason | None = None
    error: str = ""
    priority: int = 0
    memory_retries: int = 0

    @property
    def is_final(self) -> bool:
        return self.state in FINAL

    def copy(self) -> Status:
        """A new Status to be changed before anybody else sees it."""
        return Status(
            self.state,
            self.at,
            self.number,
            self.failures,
            self.losses,
            self.crashes,
            self.due,
            self.held,
            self.cancel_requested,
            self.reason,
            self.error,
            self.priority,
            self.memory_retries,
        )


@dataclass(slots=True, eq=False)
class Task:
    """One unit of work. `seq` is its arrival number: ties break by it. `after` names the tasks it waits for,
    `group` the graph or map it belongs to ("" for none). `status` is replaced, by the core alone, after a commit, and
    so are `terms` when an attempt has run out of memory and the next one claims more. `size` tells how large the input
    is, in half powers of two of its bytes."""

    id: str
    seq: int
    terms: Terms
    submitted_at: float
    status: Status
    name: str = ""
    group: str = ""
    after: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    start_after: float = 0.0
    deadline: float | None = None
    key: str = ""  # idempotency key, "" for none; unique per principal
    digest: str = ""  # of what makes its call equal to another; "" where no cache is asked for
    extras: Extras = NO_EXTRAS
    size: int = 0
    queue: object = field(default=None, init=False, repr=False)  # derived: where it stands in `Ready`, if it does
