"""Every seam of the scheduler in one file. Each port has one contract suite (tests/contracts), run over every
implementation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Final, NamedTuple, Protocol

from mcp_scheduler.core.changes import Changes, Launch, Remembered
from mcp_scheduler.core.events import Event, Group, Origin
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Attempt, Node
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.core.task import Task

_LOWER: Final = str.maketrans(ascii_uppercase, ascii_lowercase)  # SQLite's lower() knows no other letters


class Clock(Protocol):
    """The only source of time. Seconds since the epoch as a float; never goes backwards while the engine lives."""

    def now(self) -> float: ...


@dataclass(slots=True)
class Boot:
    """What an engine starts from: attempts that were under way, their tasks, and all other tasks that have not ended. A
    task that has succeeded may still have attempts that were to be stopped: copies that came too late."""

    tasks: list[Task]
    attempts: list[Attempt]
    next_seq: int
    clean: bool  # the last engine closed the store in order
    latest: float = 0.0  # the newest time that the store knows of


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One run of a task as the store remembers it. `ended_at` is None while it runs."""

    id: AttemptId
    node: str
    devices: tuple[str, ...]
    started_at: float
    ended_at: float | None
    reason: Reason | None
    error: str
    exit_code: int | None
    signal: int | None
    seconds: float
    memory_peak: int
    stdout_bytes: int
    stderr_bytes: int
    fingerprint: str
    returned: bool  # handed back without having begun
    device_peak: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """What a task returned. Exactly one of `inline` (JSON text) and `file` (sha-256 name) is set, or neither."""

    inline: bytes | None
    file: str
    size: int


@dataclass(frozen=True, slots=True)
class TaskQuery:
    """Which tasks to list, newest first. Empty fields do not filter; `before_seq` pages on."""

    states: frozenset[State] = frozenset()
    principal: str = ""
    group: str = ""
    tag: str = ""
    name: str = ""  # substring of the name or the id
    before_seq: int | None = None
    limit: int = 20

    def matches(self, task: Task) -> bool:
        """Whether the task belongs on some page of this list."""
        wanted = self.name.translate(_LOWER)
        return (
            (not self.states or task.status.state in self.states)
            and (not self.principal or task.terms.principal == self.principal)
            and (not self.group or task.group == self.group)
            and (not self.tag or self.tag in task.tags)
            and (not wanted or wanted in task.name.translate(_LOWER) or wanted in task.id.translate(_LOWER))
            and (self.before_seq is None or task.seq < self.before_seq)
        )


@dataclass(frozen=True, slots=True)
class Pruned:
    """What `prune` removed: the ids of tasks, so that their files can follow, and result files no task names."""

    tasks: tuple[str, ...] = ()
    result_files: tuple[str, ...] = ()
    states: tuple[State, ...] = field(default=(), compare=False)  # in which each of the tasks had ended


class Store(Protocol):
    """The durable memory. One writer, one opener. `commit` is all or nothing and returns after the fsync.

    Errors: `StoreUnavailable` when nothing was written and the same call may succeed later (disk full, I/O error);
    on any error the store is as before the call. Reads may run while a commit is under way and then see either side.
    `keep_forecasts` replaces texts by key, and forgets the keys of None; what is counted lies there, too.
    `equal`: digest → the fingerprint of its code now; answers, for digests of tasks that have succeeded with that code,
    with the newest of these.
    `named_results`: those of these files of results that any task has.
    `pruned`: all that `prune` has removed since the last `forget_pruned`, by whichever engine; without states.
    `schema` is the version of its tables, 0 where there are none.
    """

    @property
    def schema(self) -> int: ...
    async def open(self) -> Boot: ...
    async def commit(self, changes: Changes) -> None: ...
    async def tasks(self, ids: Sequence[str]) -> dict[str, Task]: ...
    async def payloads(self, ids: Sequence[str]) -> dict[str, bytes]: ...
    async def results(self, ids: Sequence[str]) -> dict[str, Result]: ...
    async def named_results(self, files: Sequence[str]) -> set[str]: ...
    async def attempts(self, ids: Sequence[str]) -> dict[str, list[AttemptRow]]: ...
    async def find(self, query: TaskQuery) -> list[Task]: ...
    async def counts(self) -> dict[State, int]: ...
    async def group(self, group: str) -> Group | None: ...
    async def members(self, group: str) -> list[Task]: ...
    async def by_key(self, principal: str, key: str) -> Task | None: ...
    async def equal(self, fingerprints: Mapping[str, str]) -> dict[str, str]: ...
    async def remembered(self, origin: Origin) -> Remembered | None: ...
    async def setting(self, name: str) -> str | None: ...
    async def set_setting(self, name: str, value: str) -> None: ...
    async def forecasts(self) -> dict[str, str]: ...
    async def keep_forecasts(self, rows: Mapping[str, str | None]) -> None: ...
    async def prune(self, *, ended_before: float, keep: int, limit: int = 500) -> Pruned: ...
    async def pruned(self) -> Pruned: ...
    async def forget_pruned(self) -> None: ...
    async def checkpoint(self) -> None: ...
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a client's functions and commands run: its own interpreter, import path, folder and variables.

    `functions` are the files or modules that `--functions` named. `key` is the hash of everything else.
    """

    key: str
    python: str
    cwd: str
    path: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class FunctionEntry:
    """A function that can be called, as a worker of its environment described it. `module.function` is its name.

    `parameters` is the JSON Schema (2020-12) of the arguments, `options` what its decorator declared:
    needs, retry, timeout, idle_timeout, idempotent, priority, tags, on_failure, reads, writes (as in a submission;
    absent ones are absent; an `on_failure` that is a text names a function which is called with the same arguments).
    """

    name: str
    environment: str
    summary: str
    parameters: Mapping[str, Any]
    options: Mapping[str, Any]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What an environment offers. `problems` tells, a line each, which sources could not be loaded and why."""

    environment: str
    functions: tuple[FunctionEntry, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """A running call's own word on how far it is. Never durable. `fraction` is 0..1 or None."""

    attempt: AttemptId
    fraction: float | None
    text: str
    at: float


Report = Callable[[Event | Progress], None]


class Executor(Protocol):
    """What runs attempts. It never blocks the loop; what happens comes back through `report`, fenced by AttemptId.

    `pause` lets a command stand still with all its processes, until `proceed`: its memory is kept, and the time does
    not count. The worker of a function is asked to give way; if the function does, the attempt ends as YIELDED. A call
    that has not begun is given back. When the engine goes nothing is left standing still.

    `launch` may name an attempt again: it runs once. A call's JSON (`payloads`: the `call` object of the submission,
    every `$result` already put in) comes beside the Launch. Ended is reported when the whole process tree is gone.
    `recover` runs once, before anything is launched: it answers, for attempts of an earlier engine, by reports
    (Ended, Returned); an attempt it does not report is alive and adopted; what it finds alive but not asked for is
    ended. `settle` comes after a commit. `stop` of an attempt that is not there reports nothing.

    `flush` says that the launches of one decision have all been told: they are on their way when it returns. Without it
    they are in the event loop's next round.

    Where a launch names devices, the slot's worker sees these and no others, and stays when the slot is empty, until
    `evict`. `SlotGone` is reported whenever it is gone with all its processes, and at once where there is none; a slot
    in use is not evicted.
    """

    async def start(self, report: Report) -> None: ...
    async def recover(self, attempts: Sequence[Attempt], terms: Mapping[str, Any]) -> None: ...
    def launch(self, launch: Launch, payloads: Mapping[AttemptId, bytes]) -> None: ...
    def flush(self) -> None: ...
    def stop(self, attempt: AttemptId, reason: Reason | None) -> None: ...
    def pause(self, attempt: AttemptId) -> None: ...
    def proceed(self, attempt: AttemptId) -> None: ...
    def recall(self, slot: str) -> None: ...
    def evict(self, slot: str) -> None: ...
    def settle(self, attempts: Iterable[AttemptId]) -> None: ...
    async def close(self) -> None: ...


class Functions(Protocol):
    """The catalogue of what can be called, per environment; described by a child of that environment, never imported
    by the engine."""

    def know(self, environment: Environment) -> None: ...
    async def catalogue(self, environment: str) -> Catalogue: ...


class Hangs(Protocol):
    """What hangs because somebody has stopped a process of ours: of one attempt ("" where nothing does), and of all;
    both for a person, with the process id."""

    def of(self, attempt: AttemptId) -> str: ...
    def all(self) -> list[str]: ...


class Printed(NamedTuple):
    """A piece of what an attempt printed: from `start` up to `end`, of `total` bytes in all. Where bytes were not kept
    a line in `text` says so in their place, so `end - start` is not its length."""

    text: bytes
    start: int
    end: int
    total: int


class Outputs(Protocol):
    """What attempts printed, and files of results. `stream` is "stdout" or "stderr". `files`: all results there are;
    `discard` takes one away at once. `remove` answers the results that it has left where they are, because a call has
    returned the same lately, and may be about to have it named by its task."""

    async def read(self, attempt: AttemptId, stream: str, *, offset: int, limit: int) -> Printed: ...
    async def result(self, file: str) -> bytes: ...
    async def remove(self, pruned: Pruned) -> list[str]: ...
    async def files(self) -> list[str]: ...
    def discard(self, file: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Tree:
    """A set of files that is kept: its name, which says what is in it, and how much that is."""

    name: str
    files: int
    bytes: int


class Inputs(Protocol):
    """Keeps files as they are when a task is submitted, as long as a task has them.

    `take` keeps files (path for the task, place) and notes the set in `taken`, whose holder calls `let_go` at last.
    `hold` is durable when it returns: these tasks have these sets, until they are released.
    """

    async def take(self, files: Sequence[tuple[str, str]], taken: list[str]) -> Tree: ...
    def let_go(self, taken: list[str]) -> None: ...
    async def hold(self, trees: Mapping[str, str]) -> None: ...
    def release(self, tasks: Iterable[str]) -> None: ...


class Sensor(Protocol):
    """What the host says about itself: capacity once, load as often as it is asked."""

    def node(self) -> Node: ...
    def load(self) -> Mapping[str, float]: ...


@dataclass(frozen=True, slots=True)
class LoadHistory:
    """A series of percentages, `every` so many seconds, the newest last; what is expected `ahead` seconds after it, and
    the mean error of such forecasts lately."""

    name: str
    every: float
    values: tuple[float, ...]
    expected: float
    ahead: float
    error: float


class LoadWatch(Protocol):
    """Who looks at the host now and then: the last look, what comes soon, and what was."""

    @property
    def load(self) -> Mapping[str, float]: ...
    @property
    def soon(self) -> Mapping[str, float]: ...
    def history(self) -> tuple[LoadHistory, ...]: ...


class DeviceWatch(Protocol):
    """Who looks at the devices of this host. `alerts` are for a person; `absent` says why there are no NVIDIA GPUs, ""
    if there are. `forgive`: a person says that a device is well again. `visibility`: the variables that show these
    devices to a program, and no others."""

    @property
    def alerts(self) -> tuple[str, ...]: ...
    @property
    def absent(self) -> str: ...
    def forgive(self, uuid: str) -> None: ...
    def visibility(self, devices: Sequence[str]) -> Mapping[str, str]: ...
