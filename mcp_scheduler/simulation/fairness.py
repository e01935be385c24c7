"""How principals fared beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mcp_scheduler.simulation.run import Record, Run
from mcp_scheduler.simulation.samples import mean
from mcp_scheduler.simulation.trace import capacity, demand

_CROWD: Final = 2  # principals that wait at once: fewer do not contend


def slowdowns(done: Sequence[Record]) -> list[float]:
    """The mean bounded slowdown (10 s) of each principal, by name."""
    found: dict[str, list[float]] = {}
    for record in done:
        found.setdefault(record.job.principal, []).append(record.slowdown())
    return [mean(found[name]) for name in sorted(found)]


def rates(run: Run) -> list[float]:
    """What each principal had of the machines, as a share, in the time in which it and others had jobs waiting.

    A job's size is its dominant share: the largest part that it takes of any one resource. Two principals who wait all
    the time are compared by their device-seconds so.
    """
    moments = sorted(_moments(run))
    waiting: dict[str, int] = {}
    running: dict[str, float] = {}
    served: dict[str, float] = {}
    contended: dict[str, float] = {}
    before = moments[0][0] if moments else 0.0
    for at, principal, more, share in moments:
        if at > before:
            crowd = [name for name, count in waiting.items() if count]
            if len(crowd) >= _CROWD:
                for name in crowd:
                    contended[name] = contended.get(name, 0.0) + at - before
                    served[name] = served.get(name, 0.0) + running.get(name, 0.0) * (at - before)
            before = at
        waiting[principal] = waiting.get(principal, 0) + more
        running[principal] = running.get(principal, 0.0) + share
    return [served[name] / contended[name] for name in sorted(contended)]


def _moments(run: Run) -> list[tuple[float, str, int, float]]:
    """(time, principal, how many more wait, how much more runs): arrivals, beginnings and ends."""
    total = capacity(run.trace.machines)
    found: list[tuple[float, str, int, float]] = []
    for record in run.records.values():
        job = record.job
        asked = demand(job.needs, run.device_memory)
        share = max((amount / total[name] for name, amount in asked.items() if total.get(name)), default=0.0)
        left = record.began if record.began is not None else record.ended
        found.append((job.submit, job.principal, 1, 0.0))
        if left is not None:
            found.append((left, job.principal, -1, share if record.began is not None else 0.0))
        if record.began is not None and record.ended is not None:
            found.append((record.ended, job.principal, 0, -share))
    return found
