"""What a simulation runs: jobs with the times that they take, and the machines that they run on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from mcp_scheduler.core.node import Node
from mcp_scheduler.core.seen import GpuSeen
from mcp_scheduler.core.task import MILLI, Needs
from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.simulation.jobs import Job, graphs

GPUS: Final = "gpus"  # what devices are called beside the names of amounts


@dataclass(frozen=True, slots=True)
class Machine:
    """A node and its devices."""

    node: Node
    devices: tuple[GpuSeen, ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """Jobs in the order in which they arrive. `machines`: what they ran on, () if the trace does not say; `skipped`:
    entries without a time or a size; `optimum`: the shortest possible makespan, where that is known."""

    name: str
    jobs: tuple[Job, ...]
    machines: tuple[Machine, ...] = ()
    skipped: int = 0
    optimum: float | None = None

    def part(self, start: int, count: int | None) -> Trace:
        """`count` jobs from the `start`-th on. Dependencies on jobs before them are taken to be over."""
        jobs = self.jobs[start : None if count is None else start + count]
        names = {job.id for job in jobs}
        kept = tuple(
            job if names.issuperset(job.after) else replace(job, after=tuple(n for n in job.after if n in names))
            for job in jobs
        )
        return replace(self, jobs=kept, optimum=self.optimum if len(kept) == len(self.jobs) else None)

    def on(self, machines: Sequence[Machine]) -> Trace:
        """The same jobs on other machines."""
        return replace(self, machines=tuple(machines), optimum=None)


def ordered(name: str, jobs: Iterable[Job], machines: Iterable[Machine] = (), skipped: int = 0) -> Trace:
    """A trace of these jobs, by arrival; of those that arrive together dependencies come first, and make a graph.

    Refused if an id stands twice, or a job waits for one that does not exist, arrives later, or waits for it.
    """
    found = sorted(jobs, key=lambda job: job.submit)
    if not found:
        raise InvalidRequest(f"{name} has no job with a run time and a size.", hint="See docs/howto/simulate.md.")
    known = {job.id: job for job in found}
    if len(known) < len(found):
        twice = next(job.id for job in found if known[job.id] is not job)
        raise InvalidRequest(f"{name}: two jobs are called '{twice}'.", hint="Give each job an id of its own.")
    for job in found:
        for other in job.after:
            if other not in known:
                raise InvalidRequest(f"{name}: '{job.id}' waits for '{other}', which is not there.")
            if known[other].submit > job.submit:
                raise InvalidRequest(f"{name}: '{job.id}' waits for '{other}', which arrives later.")
    if any(job.after for job in found):
        found = graphs(name, found, known)
    return Trace(name, tuple(found), tuple(machines), skipped)


def capacity(machines: Iterable[Machine]) -> dict[str, float]:
    """Everything there is, in plain numbers: cpus, bytes of memory, devices as `gpus`."""
    total: dict[str, float] = {}
    for machine in machines:
        for name, amount in machine.node.amounts:
            total[name] = total.get(name, 0) + plain(name, amount)
        if machine.devices:
            total[GPUS] = total.get(GPUS, 0) + len(machine.devices)
    return total


def demand(needs: Needs, device_memory: int) -> dict[str, float]:
    """What needs take of `capacity`. A shared device counts by the share of its memory, of `device_memory` bytes."""
    taken = {name: plain(name, amount) for name, amount in needs.amounts}
    if needs.gpu_memory:
        taken[GPUS] = max(needs.gpus, 1) * needs.gpu_memory / device_memory if device_memory else 0.0
    elif needs.gpus:
        taken[GPUS] = float(needs.gpus)
    return taken


def plain(name: str, amount: int) -> float:
    """An amount as it was asked for: the core counts all but memory in thousandths."""
    return float(amount) if name == "memory" else amount / MILLI


def amounts_of(given: Mapping[str, float]) -> tuple[tuple[str, int], ...]:
    """Plain numbers as the core counts them, sorted by name, zeros left out."""
    counted = {name: round(value) if name == "memory" else round(value * MILLI) for name, value in given.items()}
    return tuple(sorted((name, amount) for name, amount in counted.items() if amount))
