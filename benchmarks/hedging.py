"""What hedging does to slow attempts: a made-up mix, once without and once with copies, through the real decision.

    python benchmarks/hedging.py --jobs 10000 --load 0.6

Calls take about 10 s (lognormal, sigma 0.3); 2 % of the attempts, copies included, take ten times as long. They arrive
by chance (Poisson) so that the slots are busy for the given part of the time. Nothing is known of run times but what
the forecasts learn. Virtual time: the figures are the same on every machine.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from dataclasses import replace

from mcp_scheduler.core.task import Kind
from mcp_scheduler.forecast.durations import Durations
from mcp_scheduler.policies.catalogue import BUILT_IN
from mcp_scheduler.simulation import machines
from mcp_scheduler.simulation.jobs import Job
from mcp_scheduler.simulation.run import Run, Simulation
from mcp_scheduler.simulation.samples import quantile
from mcp_scheduler.simulation.trace import ordered

SECONDS, SIGMA = 10.0, 0.3
SLOW, TIMES = 0.02, 10.0  # so many attempts take so many times as long
SLOTS = 8


def mix(count: int, load: float, seed: int, *, slow: float = SLOW) -> list[Job]:
    """Jobs whose attempts are drawn one by one."""
    draw = random.Random(seed)

    def attempt() -> float:
        return SECONDS * draw.lognormvariate(0.0, SIGMA) * (TIMES if draw.random() < slow else 1.0)

    mean = SECONDS * 2.718281828 ** (SIGMA**2 / 2) * (1.0 + slow * (TIMES - 1.0))
    at, jobs = 0.0, list[Job]()
    for number in range(count):
        at += draw.expovariate(load * SLOTS / mean)
        jobs.append(Job(f"j{number}", at, attempt(), kind=Kind.FUNCTION, target="module.call", again=(attempt(),)))
    return jobs


def run(jobs: Sequence[Job], *, hedge: bool) -> Run:
    trace = ordered("mix", [replace(job, hedge=hedge) for job in jobs], machines.parse([f"cpus={SLOTS}"]))
    return Simulation(trace, BUILT_IN["balanced"], Durations()).finish()


def told(found: Run) -> dict[str, float]:
    """Completion times, the time of all attempts, and the part of it that copies had."""
    records = list(found.records.values())
    times = [record.ended - record.job.submit for record in records if record.ended is not None]
    work, copied = sum(record.took for record in records), sum(record.copied for record in records)
    return {
        "p50": quantile(times, 0.5),
        "p95": quantile(times, 0.95),
        "p99": quantile(times, 0.99),
        "longest": max(times),
        "hours of all attempts": (work + copied) / 3600.0,
        "copies": sum(record.attempts - 1 for record in records),
        "% of the time copied": 100.0 * copied / work,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--load", type=float, default=0.6)
    parser.add_argument("--slow", type=float, default=SLOW)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    jobs = mix(options.jobs, options.load, options.seed, slow=options.slow)
    plain, hedged = told(run(jobs, hedge=False)), told(run(jobs, hedge=True))
    sys.stdout.write(f"{'':>24} {'without':>10} {'hedge':>10}\n")
    for name in plain:
        sys.stdout.write(f"{name:>24} {plain[name]:>10.2f} {hedged[name]:>10.2f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
