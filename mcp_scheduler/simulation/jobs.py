"""The jobs of a trace, and the graphs that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from mcp_scheduler.core.task import Kind, Needs
from mcp_scheduler.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Job:
    """A task of the past. Times in seconds; `submit` and `deadline` count from the beginning of the trace.

    `run` is what it really takes (infinite: it never ends), which the scheduler does not know; `requested` what its
    owner said that it takes, None if nothing. `patience`: it leaves if it has not begun so long after `submit`.
    `group`: the graph that it is submitted with, "" for none. `replicas` and `hedge` as a task asks for them; `again`:
    what further attempts take, one after the other, where that is not what the first takes.
    """

    id: str
    submit: float
    run: float
    needs: Needs = field(default_factory=Needs)
    requested: float | None = None
    priority: int = 0
    principal: str = "user"
    kind: Kind = Kind.COMMAND
    target: str = "job"
    after: tuple[str, ...] = ()
    deadline: float | None = None
    patience: float | None = None
    group: str = ""
    replicas: int = 1
    hedge: bool = False
    again: tuple[float, ...] = ()

    def takes(self, attempt: int) -> float:
        """What its `attempt`-th attempt takes, counted from 1."""
        return self.run if attempt == 1 or not self.again else self.again[min(attempt - 2, len(self.again) - 1)]


def graphs(name: str, jobs: Sequence[Job], known: Mapping[str, Job]) -> list[Job]:
    """The jobs, dependencies before those that wait for them. Those that arrive together and hang together are a graph,
    named after the first of them, as if they had been submitted by one `submit_graph`."""
    first: dict[str, str] = {job.id: job.id for job in jobs}

    def root(job: str) -> str:
        while first[job] != job:
            first[job] = first[first[job]]
            job = first[job]
        return job

    found: list[Job] = []
    for job in _sorted(name, jobs, known):
        found.append(job)
        for other in job.after:
            if known[other].submit == job.submit:
                first[root(job.id)] = root(other)
    members: dict[str, int] = {}
    for job in found:
        members[root(job.id)] = members.get(root(job.id), 0) + 1
    return [
        job if job.group or members[root(job.id)] == 1 else replace(job, group=f"graph-{root(job.id)}") for job in found
    ]


def _sorted(name: str, jobs: Sequence[Job], known: Mapping[str, Job]) -> list[Job]:
    """By arrival, then dependencies first, then as they stood."""
    done: dict[str, Job] = {}
    open_ones: set[str] = set()
    for start in jobs:
        stack = [start]
        while stack:
            job = stack[-1]
            missing = [other for other in job.after if other not in done]
            if job.id in done or not missing:
                done.setdefault(job.id, job)
                open_ones.discard(job.id)
                stack.pop()
                continue
            open_ones.add(job.id)
            if missing[0] in open_ones:
                raise InvalidRequest(f"{name}: '{job.id}' and '{missing[0]}' wait for each other.")
            stack.append(known[missing[0]])
    return list(done.values())
