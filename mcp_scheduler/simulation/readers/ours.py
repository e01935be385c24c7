"""Our own format: a JSON object with `nodes` and `jobs`, in the words of `submit_task`. The how-to has all of it."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError

from mcp_scheduler.core.task import Kind
from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.requests import NeedsSpec, Request, needs_of, seconds
from mcp_scheduler.simulation.jobs import Job
from mcp_scheduler.simulation.machines import machine
from mcp_scheduler.simulation.trace import Machine, Trace, ordered

FORMAT: Final = "mcp-scheduler-trace/1"
_MOST_MACHINES: Final = 100_000
Time = Annotated[float, BeforeValidator(seconds), Field(ge=0)]


class NodeEntry(Request):
    """A node, or `count` equal ones. Any further key is an amount: cpus, memory, gpus, gpu_memory, a resource."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str
    count: Annotated[int, Field(ge=1, le=_MOST_MACHINES)] = 1


class JobEntry(Request):
    """A job. `run` null: it never ends. `function` and `command` say what it is called, and how it is run: calls of
    functions share workers, commands do not."""

    id: Annotated[str, Field(min_length=1, max_length=200)]
    submit: Time = 0.0
    run: Time | None
    requested: Time | None = None
    needs: NeedsSpec = NeedsSpec()
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    principal: str = "user"
    function: str | None = None
    command: str | None = None
    after: tuple[str, ...] = ()
    group: str = ""
    deadline: Time | None = None
    patience: Time | None = None
    replicas: Annotated[int, Field(ge=1, le=16)] = 1
    hedge: bool = False
    again: tuple[Time, ...] = ()


class TraceEntry(Request):
    """The whole file."""

    format: str
    nodes: tuple[NodeEntry, ...] = ()
    jobs: Annotated[tuple[JobEntry, ...], Field(min_length=1)]
    optimum: Time | None = None


def read(name: str, text: str) -> Trace:
    """The trace in this JSON text."""
    try:
        entry = TraceEntry.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InvalidRequest(
            f"{name}: {where}: {first['msg']}.", hint="docs/howto/simulate.md has the format."
        ) from None
    if entry.format != FORMAT:
        raise InvalidRequest(f"{name} is of the format '{entry.format}'.", hint=f"This version reads '{FORMAT}'.")
    machines = [machine for node in entry.nodes for machine in _machines(node)]
    trace = ordered(name, map(_job, entry.jobs), machines)
    return Trace(trace.name, trace.jobs, trace.machines, optimum=entry.optimum)


def _machines(entry: NodeEntry) -> list[Machine]:
    amounts: dict[str, Any] = entry.model_extra or {}
    if entry.count == 1:
        return [machine(entry.name, amounts)]
    return [machine(f"{entry.name}-{number}", amounts) for number in range(entry.count)]


def _job(entry: JobEntry) -> Job:
    if entry.function is not None and entry.command is not None:
        raise InvalidRequest(f"'{entry.id}' is a function and a command.", hint="Name one of them.")
    return Job(
        entry.id,
        entry.submit,
        float("inf") if entry.run is None else entry.run,
        needs_of(entry.needs),
        requested=entry.requested,
        priority=entry.priority,
        principal=entry.principal,
        kind=Kind.COMMAND if entry.function is None else Kind.FUNCTION,
        target=entry.function or entry.command or "job",
        after=entry.after,
        group=entry.group,
        deadline=None if entry.deadline is None else entry.submit + entry.deadline,
        patience=entry.patience,
        replicas=entry.replicas,
        hedge=entry.hedge,
        again=entry.again,
    )
