"""Standard Workload Format: what parallel machines' accounting has kept (`.swf`, `.swf.gz`).

A line a job, 18 blank-separated fields, -1 for unknown; lines that begin with `;` are the header. Format:
D. Feitelson, "The Standard Workload Format", Parallel Workloads Archive. Processors are read as `cpus` of one node.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mcp_scheduler.core.node import Node
from mcp_scheduler.core.task import Needs
from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.simulation.jobs import Job
from mcp_scheduler.simulation.trace import Machine, Trace, amounts_of, ordered

_FIELDS: Final = 11  # of 18: shorter lines end in fields that are not read
_NUMBER, _SUBMIT, _RUN, _USED, _ASKED, _TIME, _USER, _PROGRAM = 0, 1, 3, 4, 7, 8, 11, 13


def read(name: str, lines: Iterable[str]) -> Trace:
    """The jobs, and one node with the processors that the header names. Jobs without a run time or processors are
    counted as skipped; dependencies and memory are not read."""
    header: dict[str, str] = {}
    jobs: list[Job] = []
    skipped = 0
    for number, line in enumerate(lines, 1):
        if line.startswith(";"):
            key, colon, value = line[1:].partition(":")
            if colon:
                header.setdefault(key.strip(), value.strip())
        elif line.strip():
            job = _job(name, number, line.split())
            skipped += job is None
            jobs += [job] if job is not None else []
    size = header.get("MaxProcs") or header.get("MaxNodes") or ""
    machines = [Machine(Node("machine", amounts_of({"cpus": float(size)})))] if size.isdecimal() else []
    return ordered(name, jobs, machines, skipped)


def _job(name: str, number: int, fields: list[str]) -> Job | None:
    if len(fields) < _FIELDS:
        raise InvalidRequest(f"{name}: line {number} has {len(fields)} fields; SWF has 18.")
    try:
        values = [float(field) for field in fields]
    except ValueError as error:
        raise InvalidRequest(f"{name}: line {number} is no SWF: {error}.") from error
    values += [-1.0] * (18 - len(values))
    processors = values[_ASKED] if values[_ASKED] > 0 else values[_USED]
    if values[_RUN] < 0 or processors <= 0 or values[_SUBMIT] < 0:
        return None
    return Job(
        f"job-{fields[_NUMBER]}",
        values[_SUBMIT],
        values[_RUN],
        Needs(amounts_of({"cpus": processors})),
        requested=values[_TIME] if values[_TIME] > 0 else None,
        principal=f"user-{fields[_USER]}" if values[_USER] >= 0 else "user",
        target=f"program-{fields[_PROGRAM]}" if values[_PROGRAM] >= 0 else "job",
    )
