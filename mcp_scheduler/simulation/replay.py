"""The recent past once more, under another policy: what the adaptive policy is chosen by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from math import log
from time import sleep
from typing import Final

from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.policy import Policy
from mcp_scheduler.policies.adaptive import Measured
from mcp_scheduler.simulation.estimates import Told
from mcp_scheduler.simulation.run import Record, Simulation
from mcp_scheduler.simulation.trace import Job, Machine, Trace, ordered

_FLOOR: Final = 1.0  # seconds; what runs shorter is counted as so long
_BREATH: Final = 20  # decisions after which whoever waits for the interpreter gets it
_PAUSE: Final = 0.0005


def halves(jobs: Sequence[Job], machines: Iterable[Machine]) -> tuple[Trace, Trace]:
    """The older and the newer half, each as if nothing had been before it."""
    by_arrival = sorted(jobs, key=lambda job: job.submit)
    middle = len(by_arrival) // 2
    there = tuple(machines)
    return (
        ordered("older", map(_alone, by_arrival[:middle]), there),
        ordered("newer", map(_alone, by_arrival[middle:]), there),
    )


def _alone(job: Job) -> Job:
    """Dependencies are over: when it arrives is when it could run."""
    return replace(job, after=(), group="")


def measure(trace: Trace, policies: Mapping[str, Policy]) -> dict[str, Measured]:
    """What each policy makes of the trace. In a thread: it lets others go on now and then."""
    return {
        name: measured(
            Simulation(trace, policy, Told(trace, lambda job: job.requested), look=_breathing()).finish().records
        )
        for name, policy in policies.items()
    }


def measured(records: Mapping[str, Record]) -> Measured:
    """The figures of one run."""
    done = [record for record in records.values() if record.ended is not None and record.began is not None]
    late = sum(
        record.job.deadline is not None and (record.ended is None or record.ended > record.job.deadline)
        for record in records.values()
    )
    slowdowns = [log(record.slowdown(_FLOOR)) for record in done]
    return Measured(sum(slowdowns) / max(1, len(slowdowns)), max((record.wait for record in done), default=0.0), late)


def _breathing() -> Callable[[Cluster], None]:
    number = count(1)

    def look(_cluster: Cluster) -> None:
        if next(number) % _BREATH == 0:
            sleep(_PAUSE)

    return look
