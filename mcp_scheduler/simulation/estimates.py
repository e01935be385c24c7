"""What the scheduler is told, or learns, about how long jobs take.

A schedule depends on it as much as on the policy: every report names it, and a policy is to be tried with bad ones too.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from mcp_scheduler.core.estimates import Expected
from mcp_scheduler.core.task import Task, Terms
from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.simulation.jobs import Job
from mcp_scheduler.simulation.trace import Trace

Estimate = Callable[[Job], float | None]

LEARNT: Final = "learnt"
HOW: Final = (
    "Choose exact (the true time), requested (what the trace says that its owner asked for), constant:SECONDS,"
    " noise:SIGMA (the true time times a lognormal factor), or learnt (from the jobs that have ended)."
)


def estimate(name: str, seed: int = 1) -> Estimate | None:
    """What to tell of a job, by the name of the kind of estimate; None for `learnt`: nothing is told."""
    kind, _, value = name.partition(":")
    if name == LEARNT:
        return None
    if name == "exact":
        return lambda job: job.run
    if name == "requested":
        return lambda job: job.requested
    try:
        amount = float(value)
    except ValueError:
        amount = -1.0
    if kind == "constant" and 0 < amount < float("inf"):
        return lambda _job: amount
    if kind == "noise" and 0 <= amount < float("inf"):
        return lambda job: job.run * random.Random(f"{seed}/{job.id}").lognormvariate(0.0, amount)  # noqa: S311
    raise InvalidRequest(f"'{name}' is no kind of estimate.", hint=HOW)


class Told:
    """Forecasts that are told, not learnt: for each task the same, whatever has ended so far."""

    def __init__(self, trace: Trace, estimate: Estimate) -> None:
        self._jobs = {job.id: job for job in trace.jobs}
        self._estimate = estimate

    def expected(self, task: Task, _device_class: str = "", /) -> Expected | None:
        seconds = self._estimate(self._jobs[task.id])
        return None if seconds is None or seconds == float("inf") else Expected(seconds, seconds)

    def learn(self, terms: Terms, size: int, device_class: str, seconds: float, *, at_least: bool = False) -> None:
        """Nothing is learnt."""
