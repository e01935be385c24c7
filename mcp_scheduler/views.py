"""What leaves the service: frozen read models. `plain` turns one into JSON, leaving out what is empty."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One run of a task."""

    number: int
    node: str
    started_at: float
    ended_at: float | None = None
    reason: str | None = None
    error: str = ""
    exit_code: int | None = None
    signal: int | None = None
    seconds: float = 0.0
    memory_peak: int = 0
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    devices: tuple[str, ...] = ()
    returned: bool = False
    device_peak: int = 0


@dataclass(frozen=True, slots=True)
class EtaView:
    """When a task is expected to end and, if it waits, to start: seconds from now, as likely earlier as later, and so
    late only one time in ten."""

    end: float
    end_late: float
    start: float | None = None
    start_late: float | None = None


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task as its owner sees it. Times are seconds since the epoch. `why` says what a waiting task waits for, or
    what to do about a failed one. `result` is there when it is small (≤ 1 KiB); else `result_size` and read_output. Of
    a lease that is held, `fence` is larger than that of every earlier grant, `due` is when it lapses, and a program
    that has its `variables` sees its devices. `undo` is the id of its compensation, `rollback` how that goes (running,
    done, failed); of a compensation, `undoes` is the task that it is for. `cached_from` is the equal task whose
    result this one was given. `decision`: in detail, of one that has not ended, the terms of the decision about it.
    `given`: in detail, the line of a command or the arguments of a function as JSON; `cwd`: a command's folder."""

    id: str
    state: str
    call: str
    submitted_at: float
    name: str = ""
    group: str = ""
    principal: str = ""
    tags: tuple[str, ...] = ()
    priority: int = 0
    attempt: int = 0
    max_attempts: int = 1
    why: str = ""
    reason: str | None = None
    error: str = ""
    hint: str = ""
    progress: float | None = None
    progress_text: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    seconds: float | None = None
    deadline: float | None = None
    due: float | None = None
    eta: EtaView | None = None
    result: Any = None
    has_result: bool = False
    result_size: int = 0
    duplicate: bool = False
    cancel_requested: bool = False
    fence: int | None = None
    rollback: str = ""
    undo: str = ""
    undoes: str = ""
    cached_from: str = ""
    variables: dict[str, str] | None = None
    after: tuple[str, ...] = ()
    attempts: tuple[AttemptView, ...] = ()
    decision: tuple[str, ...] = ()
    given: str = ""
    cwd: str = ""


@dataclass(frozen=True, slots=True)
class GroupView:
    """A graph, a map or a series: one handle, one line of progress. `failures` shows the first few. `why` tells of a
    series when its next occurrence comes, `hint` whether it can keep its times."""

    id: str
    kind: str
    name: str
    principal: str
    submitted_at: float
    size: int
    counts: dict[str, int]
    state: str  # running, succeeded, failed, cancelled, held
    failures: tuple[TaskView, ...] = ()
    tasks: tuple[TaskView, ...] = ()
    keys: dict[str, str] | None = None  # graph key → task id
    eta: EtaView | None = None  # of the whole
    duplicate: bool = False
    items: int = 0  # of a map in chunks or stages: then `size` and `counts` are those of its tasks
    items_done: int = 0
    stages_done: tuple[int, ...] = ()  # items that have succeeded in each of its stages
    chunk: int = 0
    why: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Submitted:
    """The acknowledgement of a submission: what it made is on the disk."""

    tasks: tuple[TaskView, ...] = ()
    group: GroupView | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The acknowledgement of many tasks at once, in the order of the request. `duplicates` are the ids among them
    that an earlier submission with the same key made."""

    ids: tuple[str, ...]
    duplicates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Return:
    """How a task ended, and what it returned: the short form for programs that gather many."""

    id: str
    state: str
    result: Any = None
    reason: str | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class WaitReport:
    """What a wait ended with. `done` tells the tasks (or groups) that have ended (with `next`: since the cursor);
    time up is a normal answer: `remaining` says how many are left, `again_in` when to ask again."""

    done: tuple[TaskView, ...]
    groups: tuple[GroupView, ...]
    waiting: tuple[TaskView, ...]
    remaining: int
    complete: bool
    cursor: str
    again_in: float | None = None


@dataclass(frozen=True, slots=True)
class TaskPage:
    """A page of a list, newest first. `cursor` leads on, "" ends."""

    tasks: tuple[TaskView, ...]
    cursor: str
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class OutputPage:
    """A piece of a result or an output. `next_offset` leads on, None ends."""

    id: str
    what: str
    attempt: int
    text: str
    offset: int
    total: int
    next_offset: int | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Changed:
    """What cancel or update did. `unchanged` gives a reason for each task that stayed as it was."""

    changed: tuple[TaskView, ...]
    unchanged: dict[str, str]
    count: int


@dataclass(frozen=True, slots=True)
class DeviceView:
    """A GPU or another accelerator. Bytes: `free` as its driver says, `promised` to tasks, `available` to one more that
    shares it; `whole`: it can be given as a whole now. `tasks` have it, `others` counts foreign processes on it."""

    name: str
    uuid: str
    label: str
    health: str
    total: int
    free: int | None = None
    promised: int = 0
    available: int = 0
    whole: bool = False
    tasks: tuple[str, ...] = ()
    others: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Drained:
    """Which devices are offered to nobody from now on, or are offered again."""

    devices: tuple[DeviceView, ...]


@dataclass(frozen=True, slots=True)
class QueueView:
    """Whether anything new starts (`paused` says why not), how many tasks could, and how many run."""

    queued: int
    running: int
    paused: str = ""


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node: what it has, what is reserved, how loaded it is (percent)."""

    name: str
    total: dict[str, float]
    reserved: dict[str, float]
    load: dict[str, float]
    running: int
    devices: tuple[DeviceView, ...] = ()
    soon: dict[str, float] = field(default_factory=dict[str, float])  # the load expected in a minute
    why: str = ""  # it is not offered, or to one task only
    pool: str = ""  # how many of its CPUs are offered now, and why; "" for all
    weight: float = 100.0  # of 100: a node of half the weight counts as half as fast


@dataclass(frozen=True, slots=True)
class ThingView:
    """How often and how long tasks waited for a named thing, since the engine started. `waits` that are over, their
    mean, longest and summed seconds, and the share that was given up (cancelled, held back, timed out); how many wait
    for it and use it now."""

    name: str
    waits: int = 0
    mean: float = 0.0
    longest: float = 0.0
    waited: float = 0.0
    given_up: float = 0.0
    waiting: int = 0
    using: int = 0


@dataclass(frozen=True, slots=True)
class LoadView:
    """The state of the whole scheduler in one look."""

    nodes: tuple[NodeView, ...]
    counts: dict[str, int]
    alerts: tuple[str, ...] = ()
    policy: str = ""
    contention: tuple[ThingView, ...] = ()


@dataclass(frozen=True, slots=True)
class ForecastView:
    """What is known of one key and one quantity (seconds, memory or device_memory in bytes), for an input of the usual
    size. `coverage` is the share of runs that stayed within their bound, each predicted before it was learnt;
    `off_by` the typical factor between a run and its median, `bound_is` between the bound and the median. `judged`:
    (actual, median, bound) of the last predictions."""

    name: str
    quantity: str
    runs: int
    median: float
    upper: float
    method: str
    device: str = ""
    input_size: str = ""
    predictions: int = 0
    coverage: float | None = None
    off_by: float | None = None
    bound_is: float | None = None
    judged: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class ForecastPage:
    """Forecasts, and the truth about all of their kind: one row for each quantity, named "everything". `in_chunks`: of
    functions, the seconds that an item of theirs takes, by which the next map is cut."""

    forecasts: tuple[ForecastView, ...]
    overall: tuple[ForecastView, ...] = ()
    total: int = 0
    in_chunks: dict[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True)
class LoadSeries:
    """A node's load over time, in percent, the newest value last; `expected` comes `ahead` seconds after it, and such
    forecasts were off by `error` lately."""

    name: str
    every: float
    values: tuple[float, ...]
    expected: float
    ahead: float
    error: float


@dataclass(frozen=True, slots=True)
class LoadPast:
    """What is known of the load of the last hour."""

    series: tuple[LoadSeries, ...]


@dataclass(frozen=True, slots=True)
class FunctionView:
    """Something that can be called."""

    name: str
    summary: str
    parameters: dict[str, Any]
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class FunctionPage:
    """What the caller's environment offers. `problems` tells what could not be loaded and why."""

    functions: tuple[FunctionView, ...]
    total: int
    problems: tuple[str, ...] = ()
    environment: str = ""


@dataclass(frozen=True, slots=True)
class EngineView:
    """The engine itself."""

    pid: int
    version: str
    python: str
    home: str
    started_at: float
    doors: int
    counts: dict[str, int]
    database_bytes: int
    schema: int
    embedded: bool = False
    stopping: bool = False
    paused: str = ""
    policy: str = ""


@dataclass(frozen=True, slots=True)
class PolicyView:
    """The policy in force, who chose it, and what there is to choose from: names with a line each."""

    name: str
    chosen_by: str
    choices: dict[str, str]
    note: str = ""  # what it follows, or what is wrong with it


@dataclass(frozen=True, slots=True)
class ExplanationView:
    """What decides about a task now, a line for each term."""

    id: str
    state: str
    policy: str
    why: str
    lines: tuple[str, ...] = ()


def plain(view: Any) -> Any:
    """JSON of a view: dataclasses become objects; None, False, "" and empty collections are left out where the field
    has a default, so that a reader on the other side can make the same view of it again."""
    if dataclasses.is_dataclass(view):
        return {
            name: plain(value)
            for name, field in view.__dataclass_fields__.items()
            if not _says_nothing(value := getattr(view, name)) or field.default is dataclasses.MISSING
        }
    if isinstance(view, (tuple, list)):
        return [plain(item) for item in view]  # pyright: ignore[reportUnknownVariableType]
    return view


def _says_nothing(value: object) -> bool:
    return value is None or value is False or (isinstance(value, (str, tuple, list, dict)) and not value)
