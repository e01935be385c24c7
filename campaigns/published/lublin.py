"""Lublin-1: ten windows of 1,024 jobs, mean bounded slowdown. Published: RLScheduler (SC20) and its repository."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from campaigns.published.lines import Line, hours, table
from campaigns.published.rlscheduler import RULES, Loop
from mcp_scheduler.core.policy import Policy
from mcp_scheduler.simulation import machines
from mcp_scheduler.simulation.experiment import compare
from mcp_scheduler.simulation.readers import read
from mcp_scheduler.simulation.samples import mean
from mcp_scheduler.simulation.trace import Trace
from mcp_scheduler.simulation.windows import windows

PROCESSORS = 256
PUBLISHED = {("FCFS", False): 7273.77, ("FCFS", True): 235.82, ("SJF", False): 277.35, ("SJF", True): 73.31}
ESTIMATES = ("exact", "noise:0.5", "noise:1.0", "constant:3600")
GOALS = {"exact": 36.0, "constant:3600": 65.0}


def report(data: Path, policies: Sequence[Policy]) -> Iterator[str]:
    """The protocol first, then every policy with every kind of estimate."""
    trace = read(data / "lublin-1.swf.gz")[0].on(machines.parse([f"cpus={PROCESSORS}"]))
    drawn = windows(trace, "10x1024", 1)
    yield "## Lublin-1: 10 windows of 1,024 jobs\n\nTheir loop, with our reader and windows:\n"
    yield table(("rule", "backfilling", "published", "here", "off by", "longest wait"), _theirs(drawn))
    yield (
        "\nOurs, through `decide`. Published with backfilling: best heuristic 73.31 (SJF), learnt 58.64."
        " 95 % bootstrap interval of the mean over the windows:\n"
    )
    yield table(
        ("estimates", "policy", "slowdown, mean", "interval", "worst", "longest wait", "goal"), _ours(drawn, policies)
    )


def _theirs(drawn: Sequence[Trace]) -> Iterator[Line]:
    for (rule, backfill), published in PUBLISHED.items():
        means, longest = [], 0.0
        for window in drawn:
            started = Loop(window.jobs, PROCESSORS, RULES[rule]).run(backfill=backfill)
            waits = [(job, started[job.id] - job.submit) for job in window.jobs]
            means.append(mean([max(1.0, (waited + job.run) / max(job.run, 10.0)) for job, waited in waits]))
            longest = max(longest, *(waited for _, waited in waits))
        off = mean(means) / published - 1
        yield (
            rule,
            "yes" if backfill else "no",
            f"{published:,.2f}",
            f"{mean(means):,.2f}",
            f"{off:+.3%}",
            hours(longest),
        )


def _ours(drawn: Sequence[Trace], policies: Sequence[Policy]) -> Iterator[Line]:
    for estimates in ESTIMATES:
        for outcome in compare(drawn, policies, estimates):
            found = outcome.together
            low, high = outcome.sureness("slowdown_mean") or (0.0, 0.0)
            yield (
                estimates, outcome.policy, f"{found['slowdown_mean']:,.2f}", f"{low:,.1f} to {high:,.1f}",
                f"{found['slowdown_max']:,.0f}", hours(found["wait_max"]),
                f"≤ {GOALS[estimates]:g}" if estimates in GOALS else "",
            )  # fmt: skip
