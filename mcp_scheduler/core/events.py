"""What happened: the input of `decide`. Every report about a running call carries its `AttemptId`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Node
from mcp_scheduler.core.policy import Policy
from mcp_scheduler.core.seen import GpuSeen
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.core.task import Task


@dataclass(frozen=True, slots=True)
class Origin:
    """Which request of which door asked: a request that is sent again after a crash is recognised by it."""

    door: str
    request: str


@dataclass(slots=True)
class Outcome:
    """How an attempt ended. `reason` is None for success.

    `result` is JSON text of at most 64 KiB; a larger one lies in the content-addressed file `result_file` (sha-256,
    hexadecimal). `seconds` is the time the call itself took, measured where it ran.
    """

    reason: Reason | None = None
    error: str = ""
    result: bytes | None = None
    result_file: str = ""
    result_size: int = 0
    exit_code: int | None = None
    signal: int | None = None
    seconds: float = 0.0
    memory_peak: int = 0
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    fingerprint: str = ""
    device_peak: int = 0  # bytes on its fullest device, as far as it was seen


@dataclass(slots=True)
class NewTask:
    """A task on its way in, with its payload: the normalised submission as JSON text, which the core never reads.
    With `like` it has the payload of that task: the store knows it. With `result_of` it has succeeded as it comes in,
    and has the result of that task."""

    task: Task
    payload: bytes
    like: str = ""
    result_of: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Tasks submitted together: a graph or a map."""

    id: str
    name: str
    kind: str  # "graph", "map" or "series" (the occurrences of a task that recurs)
    principal: str
    size: int
    submitted_at: float
    items: int = 0  # of a map in chunks, in stages or with a tree of folds
    chunk: int = 0  # items in each of its chunks; the last of them may have fewer
    stages: int = 1  # tasks through which each item, or chunk, goes; those of one lie together
    folds: int = 0  # tasks behind these that fold results into partial ones; what comes last has the whole

    @property
    def units(self) -> int:
        """How many items, or chunks of them, go through its stages; 0 where its tasks are not told apart."""
        return -(-self.items // self.chunk) if self.chunk else self.items

    @property
    def chunks(self) -> int:
        """How many of its results, the first ones, are those of chunks."""
        return self.units if self.chunk else 0

    def items_of(self, place: int) -> int:
        """How many items the task in this place (from 0) has; 0 for one that is no chunk."""
        return max(0, min(self.chunk, self.items - place // self.stages * self.chunk))

    def has_result(self, place: int) -> bool:
        """Whether what the task in this place returns is one of the results of the whole."""
        if place < self.units * self.stages:
            return place % self.stages == self.stages - 1
        return place >= self.units * self.stages + self.folds


@dataclass(slots=True)
class Submitted:
    """Tasks arrive, all or none. `outside` gives the state of dependencies that are no longer in memory."""

    tasks: list[NewTask]
    group: Group | None = None
    outside: Mapping[str, State] = field(default_factory=dict[str, State])
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Began:
    """The call itself has begun. Sent where it matters: for calls with a timeout, and for long ones."""

    attempt: AttemptId
    at: float


@dataclass(slots=True)
class Ended:
    """The attempt is over, and so is every process it had."""

    attempt: AttemptId
    at: float
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Returned:
    """The executor gives the attempt back: its call never began."""

    attempt: AttemptId


@dataclass(frozen=True, slots=True)
class SlotGone:
    """The worker of a slot with devices has ended, and so has every process it had. Of a slot that is in use again
    it says nothing."""

    slot: str


@dataclass(frozen=True, slots=True)
class DevicesSeen:
    """The devices of a node as the sensors see them now."""

    node: str
    devices: tuple[GpuSeen, ...]


@dataclass(frozen=True, slots=True)
class DeviceWithheld:
    """The device is offered to nobody for this cause; with `why` None the cause is over."""

    node: str
    uuid: str
    cause: str
    why: str | None


@dataclass(frozen=True, slots=True)
class PoolSized:
    """Of its CPUs a node offers so many thousandths from now on, while anything runs there; 0: all. `why` says what
    that was decided by."""

    node: str
    cpus: int
    why: str


@dataclass(frozen=True, slots=True)
class QuarantineLifted:
    """A person says that a node, or one of its devices, is well. `device` is "" for the node."""

    node: str
    device: str


@dataclass(frozen=True, slots=True)
class QueuePaused:
    """Nothing new starts while `why` says something; "" lets the queue go on. What runs is not touched."""

    why: str


@dataclass(frozen=True, slots=True)
class LoadSeen:
    """How loaded a node is, in percent; of CPU and memory what it is or soon will be, if that is more. `latency`: how
    late things are done there, see `load`. `is_strained`: its memory is so full that nothing more should be started
    there while anything runs."""

    node: str
    cpu: float
    memory: float
    is_strained: bool = False
    latency: float = 0.0


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """These tasks shall end. Unknown and ended ones are passed over: the service has told the caller already. Those in
    `for_good` end their series, too."""

    tasks: tuple[str, ...]
    origin: Origin | None = None
    for_good: frozenset[str] = frozenset()


class Action(StrEnum):
    """What `update_task` can do."""

    HOLD = "hold"
    RESUME = "resume"
    RETRY = "retry"
    RELEASE = "release"  # of a lease
    RENEW = "renew"  # of a lease
    SET_PRIORITY = "set_priority"
    SET_DEADLINE = "set_deadline"


@dataclass(frozen=True, slots=True)
class UpdateAsked:
    """A person or an agent changes tasks that are known. `value` belongs to the two SET actions, and to RENEW.

    A RETRY may name a task that has left memory: `revived` then carries it as the store knows it, and `outside` tells
    how those of its dependencies ended that are not in memory either.
    """

    tasks: tuple[str, ...]
    action: Action
    value: float | None = None
    revived: tuple[Task, ...] = ()
    outside: Mapping[str, State] = field(default_factory=dict[str, State])
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class NodeChanged:
    """A node is there, with this capacity, or its capacity has changed."""

    node: Node


@dataclass(frozen=True, slots=True)
class PolicyChosen:
    """From now on tasks are ranked by this policy."""

    policy: Policy


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: something may have become due."""


Event = (
    Submitted
    | Began
    | Ended
    | Returned
    | SlotGone
    | CancelAsked
    | UpdateAsked
    | NodeChanged
    | DevicesSeen
    | DeviceWithheld
    | PolicyChosen
    | QueuePaused
    | LoadSeen
    | PoolSized
    | QuarantineLifted
    | Tick
)
