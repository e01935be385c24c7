"""PSPLIB J30: 480 projects with known optima, one pass of the dispatcher each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from campaigns.published.lines import Line, table
from mcp_scheduler.core.policy import Policy
from mcp_scheduler.simulation.experiment import compare
from mcp_scheduler.simulation.readers import read

GOAL = 0.046


def report(data: Path, policies: Sequence[Policy]) -> Iterator[str]:
    """How far over the optimum each policy ends."""
    traces = read(data / "psplib-j30.tar.gz")
    yield f"\n## PSPLIB J30: {len(traces)} projects, one pass, true durations\n"
    head = ("policy", "over the optimum, mean", "worst", "at the optimum", "goal")

    def lines() -> Iterator[Line]:
        for outcome in compare(traces, policies, "exact"):
            found = outcome.together
            yield (
                outcome.policy, f"{found['over_optimum']:.2%}", f"{found['over_optimum_max']:.1%}",
                f"{found['optimal']:.1%}", f"≤ {GOAL:.1%}",
            )  # fmt: skip

    yield table(head, lines())
