"""What comes into the service: strict models of what a client may say. Unknown fields are refused by name.

These models are the single description of a task for every door: MCP tools, the CLI, HTTP and Python.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from mcp_scheduler import errors
from mcp_scheduler.core.task import MILLI, Needs

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|min|s|m|h|d)")
_SIZES: Final = {
    "": 1, "b": 1, "k": 10**3, "kb": 10**3, "kib": 2**10, "m": 10**6, "mb": 10**6, "mib": 2**20,
    "g": 10**9, "gb": 10**9, "gib": 2**30, "t": 10**12, "tb": 10**12, "tib": 2**40,
}  # fmt: skip
_MOST: Final = 2**60  # bytes; beyond it no float and no database can count
_MOST_OF_A_RESOURCE: Final = 10**9
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


def seconds(value: object) -> object:
    """`90`, `"90"`, `"90s"`, `"5m"`, `"1h30m"` → seconds."""
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    if _NUMBER.fullmatch(text):
        return float(text)
    parts = _DURATION.findall(text)
    if not parts or _DURATION.sub("", text).strip():
        raise ValueError(f"'{value}' is no duration: give seconds or a text such as 90s, 5m, 1h30m, 2d.")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def size(value: object) -> object:
    """`1000`, `"512MiB"`, `"2GB"` → bytes."""
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip().lower())
    if match is None or match[2] not in _SIZES:
        raise ValueError(f"'{value}' is no size: give bytes or a text such as 512MiB or 2GB.")
    amount = float(match[1]) * _SIZES[match[2]]
    return int(amount) if amount <= _MOST else _MOST + 1


Seconds = Annotated[float, BeforeValidator(seconds), Field(gt=0, le=366 * 86400)]
Size = Annotated[int, BeforeValidator(size), Field(ge=0, le=_MOST)]
Moment = float | str  # seconds from now (number, or "5m"), or an ISO 8601 time with its zone
Text = Annotated[str, Field(max_length=200)]
Word = str | dict[str, Any]  # of a command: a text, or {"$result": …}


_CALLS: Final = ("function", "command", "chat", "tool", "lease")
_OTHER_CALLS: Final = frozenset(_CALLS) - {"function"}


class Request(BaseModel):
    """A strict, frozen message."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=False)


class NeedsSpec(Request):
    """Resources reserved before start. Any further key is a named resource of this scheduler's settings."""

    model_config = ConfigDict(extra="allow", frozen=True)

    cpus: Annotated[float, Field(ge=0, le=100_000)] = 1.0
    memory: Size = 0
    gpus: Annotated[int, Field(ge=0, le=1024)] = 0
    gpu_memory: Size = 0
    device: Text = ""


def needs_of(spec: NeedsSpec | None) -> Needs:
    """Amounts in the core's units, sorted by name, zeros left out."""
    if spec is None:
        return Needs()
    amounts = {"cpus": round(spec.cpus * MILLI), "memory": spec.memory}
    for name, amount in (spec.model_extra or {}).items():
        if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 <= amount <= _MOST_OF_A_RESOURCE:
            raise errors.InvalidRequest(
                f"needs.{name} is {amount!r:.40}.",
                hint=f"A named resource takes a number from 0 to {_MOST_OF_A_RESOURCE:,}.",
            )
        amounts[name] = round(amount * MILLI)
    kept = tuple(sorted((name, amount) for name, amount in amounts.items() if amount))
    gpus = spec.gpus or int(bool(spec.gpu_memory or spec.device))  # who names a device wants one
    return Needs(kept, gpus, spec.gpu_memory, spec.device)


class RetrySpec(Request):
    """How often and when to try again."""

    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    delay: Annotated[float, BeforeValidator(seconds), Field(ge=0, le=86400)] = 1.0
    factor: Annotated[float, Field(ge=1, le=100)] = 2.0
    max_delay: Annotated[float, BeforeValidator(seconds), Field(ge=0, le=86400)] = 60.0
    jitter: Annotated[float, Field(ge=0, le=1)] = 1.0
    on: frozenset[Literal["error", "timeout", "idle_timeout", "out_of_memory", "lost", "crashed"]] = frozenset(
        {"error", "timeout", "lost", "crashed"}
    )


class TaskSpec(Request):
    """One task. Exactly one of function, command, chat, tool and lease says what it runs.

    The defaults are immutable: mutable ones would be copied for each of a million tasks.
    """

    function: Annotated[str, Field(min_length=1, max_length=300)] | None = None
    arguments: dict[str, Any] | None = None
    command: Annotated[str, Field(min_length=1)] | Annotated[list[Word], Field(min_length=1)] | None = None
    chat: dict[str, Any] | None = None
    tool: Text | None = None
    lease: bool | None = None
    name: Text | None = None
    tags: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=60)], ...], Field(max_length=20)] = ()
    idempotency_key: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    cache: bool = False
    needs: NeedsSpec | None = None
    after: Annotated[tuple[str, ...], Field(max_length=10_000)] = ()
    reads: Annotated[tuple[Text, ...], Field(max_length=100)] = ()
    writes: Annotated[tuple[Text, ...], Field(max_length=100)] = ()
    priority: Annotated[int, Field(ge=-100, le=100)] | None = None
    deadline: Moment | None = None
    start_after: Moment | None = None
    every: Seconds | None = None
    cron: Text | None = None
    catch_up: Literal["skip", "one", "all"] | None = None
    timeout: Seconds | None = None
    idle_timeout: Seconds | None = None
    retry: Annotated[int, Field(ge=1, le=100)] | RetrySpec | None = None
    on_failure: dict[str, Any] | None = None
    replicas: Annotated[int, Field(ge=1, le=16)] | None = None
    hedge: bool = False
    cwd: str | None = None
    env: dict[str, str] | None = None
    stdin: str | dict[str, Any] | None = None
    ranks: Annotated[int, Field(ge=1, le=1024)] | None = None
    inputs: tuple[str, ...] = ()
    hold: bool = False

    @property
    def recurs(self) -> bool:
        """Whether the task is to come again and again."""
        return self.every is not None or self.cron is not None

    @model_validator(mode="after")
    def _says_what_to_run(self) -> TaskSpec:
        if self.function is not None and not self.model_fields_set & _OTHER_CALLS:
            return self  # by far most of them
        named = [name for name in _CALLS if getattr(self, name) not in (None, False)]
        if len(named) != 1:
            given = " and ".join(named) or "none of them"
            raise ValueError(f"Give exactly one of function, command, chat, tool, lease; there is {given}.")
        if self.arguments is not None and named[0] not in ("function", "tool"):
            raise ValueError(f"`arguments` belongs to function or tool, not to {named[0]}.")
        return self


class SubmitTask(TaskSpec):
    """submit_task: one task."""


class ChunkSpec(TaskSpec):
    """A task that calls its function once for each of these sets of arguments, which are the items of a map from number
    `first` on. Made of a map, never sent by a client."""

    each: list[dict[str, Any]]
    first: int
    seconds: float = 0.0  # after which it makes way for others and goes on later; 0: never
    source: str = ""  # in a further stage: the key of the chunk with what the stage before made of the same items


class SubmitGraph(Request):
    """submit_graph: tasks by key; `after` and {"$result": key} may name other keys of this graph."""

    tasks: Annotated[dict[Annotated[str, Field(min_length=1, max_length=100)], TaskSpec], Field(min_length=1)]
    name: Text | None = None
    tags: Annotated[list[Text], Field(max_length=20)] = []
    idempotency_key: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    plan: Text | None = None  # in the order that plan_tasks has found


class PlanTasks(Request):
    """plan_tasks: a dry run of these tasks, as in submit_graph, or without any of those that are unfinished now. Under
    each of the policies, by default the one in force. With the objective makespan alone an order of the given tasks is
    looked for, with others a front of plans. `seconds` are for all of it."""

    tasks: Annotated[dict[Annotated[str, Field(min_length=1, max_length=100)], TaskSpec],
                     Field(min_length=1, max_length=1000)] | None = None  # fmt: skip
    policies: Annotated[list[Text], Field(max_length=10)] = []
    objectives: list[Literal["makespan", "energy", "utilisation"]] = []
    seconds: Annotated[float, Field(ge=0.5, le=30)] = 2.0
    limit: Annotated[int, Field(ge=1, le=1000)] = 20
    offset: Annotated[int, Field(ge=0)] = 0


class MapOver(Request):
    """What a map runs over: exactly one source of argument sets."""

    items: list[Any] | None = None
    product: dict[str, list[Any]] | None = None
    zip: dict[str, list[Any]] | None = None
    rows: str | None = None  # a CSV or JSONL file: each row is one set of arguments

    @model_validator(mode="before")
    @classmethod
    def _no_plain_list(cls, given: Any) -> Any:
        if isinstance(given, list):
            raise ValueError('a list goes under `items`: {"items": [...]}.')  # noqa: TRY004 - pydantic wants that one
        return given

    @model_validator(mode="after")
    def _one_source(self) -> MapOver:
        named = [name for name in ("items", "product", "zip", "rows") if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError(f"`over` takes exactly one of items, product, zip, rows; there is {named or 'none'}.")
        return self


def _a_duration(text: str) -> str:
    """The seconds that a chunk shall take: refused here where they make no sense."""
    found = seconds(text)
    if not isinstance(found, float) or not 0.05 <= found <= 86400:  # noqa: PLR2004 - a task's cost, and a day
        raise ValueError("A chunk takes from 50ms to 1d: give a number of items, auto, or a text such as 2s.")
    return text


class ReduceSpec(TaskSpec):
    """The reduce of a map. With `fan_in` it begins early: so many results at a time are folded into a partial one."""

    fan_in: Annotated[int, Field(ge=2, le=1000)] | None = None


class MapTask(Request):
    """map_task: one template, run once for each item. {"$item": true} (or {"$item": "path"}) in the template stands
    for the item; without it, an item that is an object is merged into the arguments. With `chunk`, so many items are
    one task. `stages` are further templates, through which each item goes by itself: {"$result": "previous"} in them
    stands for what the one before made of it."""

    task: TaskSpec
    over: MapOver
    stages: Annotated[tuple[TaskSpec, ...], Field(max_length=20)] = ()
    chunk: (
        Annotated[int, Field(ge=1, le=10_000)] | Literal["auto"] | Annotated[str, AfterValidator(_a_duration)] | None
    ) = None
    reduce: ReduceSpec | None = None
    name: Text | None = None
    tags: Annotated[list[Text], Field(max_length=20)] = []
    idempotency_key: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class SubmitMany(Request):
    """Many independent tasks in one call: the bulk road of the Python API."""

    tasks: list[TaskSpec]


class Wait(Request):
    """wait_for_tasks. `ids` are tasks or groups. `next` answers with what ended since `cursor`."""

    ids: Annotated[list[str], Field(min_length=1, max_length=10_000)]
    mode: Literal["all", "any", "next"] = "all"
    timeout: Annotated[float, BeforeValidator(seconds), Field(ge=0, le=86400)] | None = None
    cursor: str | None = None


class Gather(Request):
    """The results of many tasks, once all have ended, or `timeout` seconds have passed."""

    ids: list[str]
    timeout: Annotated[float, Field(ge=0)] | None = None


class GetTask(Request):
    """get_task: a task or a group."""

    id: str
    detail: bool = False


class ListTasks(Request):
    """list_tasks: newest first."""

    states: list[Literal[
        "pending", "scheduled", "held", "queued", "running", "retrying", "rolling_back",
        "succeeded", "failed", "cancelled", "skipped",
    ]] = []  # fmt: skip
    group: str | None = None
    tag: str | None = None
    name: str | None = None
    mine: bool = False
    limit: Annotated[int, Field(ge=1, le=200)] = 20
    cursor: str | None = None


class ReadOutput(Request):
    """read_output: result, stdout or stderr, at most `limit` bytes."""

    id: str
    what: Literal["result", "stdout", "stderr"] = "result"
    attempt: Annotated[int, Field(ge=1)] | None = None
    path: str | None = None  # JMESPath into the result
    grep: str | None = None  # regular expression; only lines that match
    tail: bool = False  # the end instead of the beginning
    offset: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1, le=65_536)] = 8192


class Drain(Request):
    """Offer a device (gpu0, the beginning of its uuid, a class) to nobody: for a while, or until further notice."""

    device: Annotated[str, Field(min_length=1, max_length=200)]
    lasting: Annotated[float, BeforeValidator(seconds), Field(gt=0)] | None = None


class Undrain(Request):
    """Offer a device again."""

    device: Annotated[str, Field(min_length=1, max_length=200)]


class ChoosePolicy(Request):
    """The policy in force; with `name`: another one from now on, "" for the one of the settings."""

    name: Annotated[str, Field(max_length=100)] | None = None


class Cancel(Request):
    """cancel_task: by ids (tasks or groups) or by tag."""

    ids: list[str] = []
    tag: str | None = None

    @model_validator(mode="after")
    def _names_something(self) -> Cancel:
        if bool(self.ids) == (self.tag is not None):
            raise ValueError("Give ids (of tasks or groups) or one tag.")
        return self


class Update(Request):
    """update_task: hold, resume, retry, release, renew, priority, deadline."""

    ids: Annotated[list[str], Field(min_length=1)]
    action: Literal["hold", "resume", "retry", "release", "renew", "set_priority", "set_deadline"]
    value: float | str | None = None


class AskForecasts(Request):
    """The owner protocol's `forecasts`: of everything, or of one name in every detail."""

    name: Annotated[str, Field(max_length=300)] | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 50


class ListFunctions(Request):
    """list_functions."""

    query: str | None = None
    detail: bool = False
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class Caller(Request):
    """Who asks, from where: taken from the door, never from the request itself.

    `environment` is the key of the caller's environment. `door` and `request` name the request across engine lives
    (both "" where a repetition cannot be recognised). `isolated` callers (HTTP subjects) see their own tasks alone.
    """

    principal: str = "local"
    environment: str = ""
    door: str = ""
    request: str = ""
    client: str = ""
    resumed: bool = False  # the door had an engine before this one: a request may have been carried out already
    isolated: bool = False
    any_command: bool = False
    commands: tuple[str, ...] = ()
