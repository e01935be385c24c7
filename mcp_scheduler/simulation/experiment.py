"""Several policies on the same traces, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mcp_scheduler.core.estimates import Forecasts
from mcp_scheduler.core.policy import Policy
from mcp_scheduler.forecast.durations import Durations
from mcp_scheduler.simulation.estimates import Told, estimate
from mcp_scheduler.simulation.figures import Figures, figures, kind
from mcp_scheduler.simulation.run import Look, Run, Simulation
from mcp_scheduler.simulation.samples import interval, mean
from mcp_scheduler.simulation.trace import Trace


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a policy made of the traces: each run with its figures, and the figures of all together."""

    policy: str
    runs: Sequence[Run]
    figures: Sequence[Figures]
    together: Figures

    def sureness(self, key: str) -> tuple[float, float] | None:
        """The 95 % bootstrap interval of a mean over the runs; None for a single run."""
        values = [one[key] for one in self.figures if key in one]
        return interval(values) if len(values) > 1 else None


def forecasts(trace: Trace, estimates: str, seed: int) -> Forecasts:
    """What the scheduler knows of run times in this trace: what it is told, or what the engine's forecasts learn."""
    told = estimate(estimates, seed)
    return Durations() if told is None else Told(trace, told)


def compare(
    traces: Sequence[Trace], policies: Iterable[Policy], estimates: str, seed: int = 1, look: Look | None = None
) -> Iterator[Outcome]:
    """One outcome for each of the policies. Each run begins from nothing, on its own virtual cluster."""
    for policy in policies:
        runs = [Simulation(trace, policy, forecasts(trace, estimates, seed), look).finish() for trace in traces]
        own = [figures(run) for run in runs]
        yield Outcome(policy.name, runs, own, together(own))


def together(own: Sequence[Figures]) -> Figures:
    """One column for several runs: the mean of means, the worst of worst cases, the sum of counts."""
    keys = list(dict.fromkeys(key for one in own for key in one))
    found: Figures = {}
    for key in keys:
        values = [one[key] for one in own if key in one]
        match kind(key).together:
            case "sum":
                found[key] = sum(values)
            case "max":
                found[key] = max(values)
            case "mean":
                found[key] = mean(values)
    return found
