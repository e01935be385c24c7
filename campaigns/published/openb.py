"""openb: how much of the GPUs can be given out when as much was asked for as there is.

The inflation experiment of Weng et al. (USENIX ATC 2023): pods are drawn from the list at random, with replacement, and
arrive one after the other; none ends. One that finds no place is turned away. Published at 100 % asked for, mean of 10
seeds: random 86.30 %, best fit 92.86 %, GPU packing 91.78 %, FGD 95.23 %.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from campaigns.published.lines import Line, table
from mcp_scheduler.core.policy import Policy
from mcp_scheduler.simulation.experiment import compare
from mcp_scheduler.simulation.readers import read
from mcp_scheduler.simulation.readers.openb import WHOLE
from mcp_scheduler.simulation.samples import mean
from mcp_scheduler.simulation.trace import GPUS, Trace, capacity, demand

GOAL = 0.94


def report(data: Path, policies: Sequence[Policy], seeds: int) -> Iterator[str]:
    """The share of the GPUs that is given out, by policy."""
    trace = read(data / "openb-default.tar.gz")[0]
    yield f"\n## openb: GPUs given out when 100 % is asked for, {seeds} seeds\n"
    yield "Published: random 86.30 %, GPU packing 91.78 %, best fit 92.86 %, FGD 95.23 %.\n"
    traces = [inflated(trace, seed) for seed in range(1, seeds + 1)]

    def lines() -> Iterator[Line]:
        for outcome in compare(traces, policies, "learnt"):
            given = [figures["allocated.gpus"] for figures in outcome.figures]
            microseconds = mean([figures["decision_p50"] for figures in outcome.figures])
            yield outcome.policy, f"{mean(given):.2%}", f"{min(given):.2%}", f"{microseconds:,.0f} µs", f"≥ {GOAL:.0%}"

    yield table(("policy", "given out, mean", "least", "a decision, p50", "goal"), lines())


def inflated(trace: Trace, seed: int) -> Trace:
    """Pods of the trace, drawn until they ask for as many GPUs as there are; a second apart, without an end."""
    draw = Random(seed)
    total = capacity(trace.machines)[GPUS]
    asked = 0.0
    jobs = []
    while asked < total:
        job = draw.choice(trace.jobs)
        asked += demand(job.needs, WHOLE).get(GPUS, 0.0)
        number = len(jobs)
        jobs.append(replace(job, id=f"pod-{number}", submit=float(number), run=float("inf"), patience=0.0))
    return replace(trace, name=f"{trace.name}, seed {seed}", jobs=tuple(jobs))
