"""What a run was worth: every mean with its worst case beside it.

Bounded slowdown is max(1, (wait + run) / max(run, floor)), with a floor of 10 s (the literature's) and of 1 s (for
short calls). The makespan is compared with a bound that no schedule beats: the work over the capacity, and the longest
chain of dependencies and arrivals. Jobs that never ran count in `left` and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mcp_scheduler.core.energy import Watts
from mcp_scheduler.simulation.fairness import rates, slowdowns
from mcp_scheduler.simulation.jobs import Job
from mcp_scheduler.simulation.run import FLOOR, Record, Run
from mcp_scheduler.simulation.samples import jain, mean, quantile
from mcp_scheduler.simulation.trace import GPUS, capacity, demand

Figures = dict[str, float]
_WATTS: Final = Watts()
_POWER: Final = {"cpus": (_WATTS.cpu_idle, _WATTS.cpu), GPUS: (_WATTS.device_idle, _WATTS.device)}  # idle, at work
STARVED: Final = 10.0  # a job that waited for more than so many times what it takes (10 s at least) was starved


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of figure. `unit`: s, %, µs, kJ, x (a ratio) or "" (a count); `together`: what several runs make of it."""

    title: str
    unit: Literal["", "s", "%", "µs", "kJ", "x"]
    together: Literal["mean", "max", "sum"] = "mean"


KINDS: Final[Mapping[str, Kind]] = {
    "jobs": Kind("jobs", "", "sum"),
    "left": Kind("jobs that never ran", "", "sum"),
    "slowdown_mean": Kind("bounded slowdown (10 s), mean", "x"),
    "slowdown_p95": Kind("bounded slowdown (10 s), p95", "x"),
    "slowdown_max": Kind("bounded slowdown (10 s), worst", "x", "max"),
    "slowdown1_mean": Kind("bounded slowdown (1 s), mean", "x"),
    "slowdown1_max": Kind("bounded slowdown (1 s), worst", "x", "max"),
    "wait_mean": Kind("wait, mean", "s"),
    "wait_p50": Kind("wait, p50", "s"),
    "wait_p95": Kind("wait, p95", "s"),
    "wait_p99": Kind("wait, p99", "s"),
    "wait_max": Kind("wait, longest", "s", "max"),
    "starved": Kind(f"waited over {STARVED:.0f} times its time", "%"),
    "completion_mean": Kind("completion, mean", "s"),
    "completion_p50": Kind("completion, p50", "s"),
    "completion_p95": Kind("completion, p95", "s"),
    "completion_p99": Kind("completion, p99", "s"),
    "completion_max": Kind("completion, longest", "s", "max"),
    "makespan": Kind("makespan", "s"),
    "makespan_ratio": Kind("makespan / lower bound", "x"),
    "over_optimum": Kind("makespan over the optimum", "%"),
    "over_optimum_max": Kind("makespan over the optimum, worst", "%", "max"),
    "optimal": Kind("projects at the optimum", "%"),
    "fragmentation": Kind("free, and of no use to a job of the trace", "%"),
    "energy": Kind("energy for each job, all nodes on", "kJ"),
    "deadlines": Kind("jobs with a deadline", "", "sum"),
    "deadlines_missed": Kind("deadlines missed", "%"),
    "lateness_mean": Kind("late, mean of the missed", "s"),
    "lateness_max": Kind("late, worst", "s", "max"),
    "principals": Kind("principals", "", "max"),
    "jain_slowdown": Kind("Jain's index of principals' slowdowns", "x"),
    "slowdown_unfairness": Kind("worst principal's slowdown / mean", "x", "max"),
    "jain_service": Kind("Jain's index of service in contention", "x"),
    "copies": Kind("copies that were started", "", "sum"),
    "copied": Kind("their time / that of all others", "%"),
    "estimate_mdape": Kind("error of estimates, median", "%"),
    "estimate_p90": Kind("error of estimates, p90", "%"),
    "estimate_covered": Kind("ended within the upper bound", "%"),
    "estimate_width": Kind("upper bound / estimate, median", "x"),
    "decision_p50": Kind("a decision, p50", "µs"),
    "decision_p99": Kind("a decision, p99", "µs"),
}


def kind(key: str) -> Kind:
    """The kind of a figure by its key. `utilisation.NAME` and `allocated.NAME` exist for each resource."""
    known = KINDS.get(key)
    if known is not None:
        return known
    name, _, resource = key.partition(".")
    return Kind(f"{resource} {'in use, mean' if name == 'utilisation' else 'in use at the last arrival'}", "%")


def figures(run: Run) -> Figures:
    """All figures of a run that make sense for it."""
    records = list(run.records.values())
    done = [record for record in records if record.done]
    found: Figures = {"jobs": len(records), "left": sum(record.began is None for record in records)}
    found |= _waiting([record for record in records if record.began is not None]) | _completion(done)
    found |= _makespan(run, done) | _use(run, records) | _deadlines(records) | _estimates(done)
    if len({job.principal for job in run.trace.jobs}) > 1:
        own = slowdowns(done)
        found["principals"] = len(own)
        found["jain_slowdown"] = jain(own)
        found["slowdown_unfairness"] = max(own) / mean(own) if own else 1.0
        found["jain_service"] = jain(rates(run))
    if any(record.job.hedge or record.job.replicas > 1 for record in records):
        found["copies"] = sum(max(0, record.attempts - 1) for record in records)
        found["copied"] = sum(one.copied for one in records) / max(sum(one.took for one in records), 1e-9)
    if run.fragmentation:
        found["fragmentation"] = mean(run.fragmentation)
    found["decision_p50"] = quantile(run.decisions, 0.5) * 1e6
    found["decision_p99"] = quantile(run.decisions, 0.99) * 1e6
    return {key: found[key] for key in (*KINDS, *found) if key in found}


def _waiting(begun: Sequence[Record]) -> Figures:
    waits = [record.wait for record in begun]
    starved = sum(record.wait > STARVED * max(record.job.run, FLOOR) for record in begun)
    return {
        "wait_mean": mean(waits),
        "wait_p50": quantile(waits, 0.5),
        "wait_p95": quantile(waits, 0.95),
        "wait_p99": quantile(waits, 0.99),
        "wait_max": max(waits, default=0.0),
        "starved": starved / len(begun) if begun else 0.0,
    }


def _completion(done: Sequence[Record]) -> Figures:
    if not done:
        return {}
    times = [record.ended - record.job.submit for record in done if record.ended is not None]
    long, short = [record.slowdown() for record in done], [record.slowdown(1.0) for record in done]
    return {
        "completion_mean": mean(times),
        "completion_p50": quantile(times, 0.5),
        "completion_p95": quantile(times, 0.95),
        "completion_p99": quantile(times, 0.99),
        "completion_max": max(times),
        "slowdown_mean": mean(long),
        "slowdown_p95": quantile(long, 0.95),
        "slowdown_max": max(long),
        "slowdown1_mean": mean(short),
        "slowdown1_max": max(short),
    }


def _makespan(run: Run, done: Sequence[Record]) -> Figures:
    if not done:
        return {}
    first = run.trace.jobs[0].submit
    makespan = max(record.ended for record in done if record.ended is not None) - first
    bound = lower_bound(run, [record.job for record in done])
    found = {"makespan": makespan, "makespan_ratio": makespan / bound if bound else 1.0}
    optimum = run.trace.optimum
    if optimum and len(done) == len(run.records):
        found["over_optimum"] = found["over_optimum_max"] = makespan / optimum - 1.0
        found["optimal"] = float(makespan <= optimum)
    return found


def lower_bound(run: Run, jobs: Sequence[Job]) -> float:
    """Seconds from the first arrival that no schedule of these jobs can do without."""
    total = capacity(run.trace.machines)
    work: dict[str, float] = {}
    for job in jobs:
        for name, amount in demand(job.needs, run.device_memory).items():
            work[name] = work.get(name, 0.0) + amount * job.run
    area = max((amount / total[name] for name, amount in work.items() if total.get(name)), default=0.0)
    return max(area, _longest_chain(jobs, run.trace.jobs[0].submit))


def _longest_chain(jobs: Sequence[Job], first: float) -> float:
    ends: dict[str, float] = {}
    known = {job.id: job for job in jobs}
    stack = list(jobs)
    while stack:
        job = stack[-1]
        missing = [known[name] for name in job.after if name in known and name not in ends]
        if missing and job.id not in ends:
            stack += missing
            continue
        stack.pop()
        ends[job.id] = max([job.submit - first, *(ends[name] for name in job.after if name in ends)]) + job.run
    return max(ends.values(), default=0.0)


def _use(run: Run, records: Sequence[Record]) -> Figures:
    total = capacity(run.trace.machines)
    first, last = run.trace.jobs[0].submit, run.trace.jobs[-1].submit
    end = max([last, *(record.ended for record in records if record.ended is not None)])
    used, held = dict.fromkeys(total, 0.0), dict.fromkeys(total, 0.0)
    for record in records:
        if record.began is None:
            continue
        ended = record.ended if record.ended is not None else end
        for name, amount in demand(record.job.needs, run.device_memory).items():
            used[name] = used.get(name, 0.0) + amount * (ended - record.began)
            if record.began <= last and (record.ended is None or record.ended > last):
                held[name] = held.get(name, 0.0) + amount
    asked = {name for job in run.trace.jobs for name in demand(job.needs, run.device_memory)}
    found: Figures = {}
    for name in sorted(asked & {name for name, amount in total.items() if amount}):
        if end > first:
            found[f"utilisation.{name}"] = used[name] / (total[name] * (end - first))
        found[f"allocated.{name}"] = held[name] / total[name]
    begun = sum(record.began is not None for record in records)
    joule = sum(_joule(total, used, name, end - first) for name in _POWER)
    return found | ({"energy": joule / 1000.0 / begun} if joule and begun else {})


def _joule(total: Mapping[str, float], used: Mapping[str, float], name: str, span: float) -> float:
    """All that there is draws what it draws idle for the whole time, and what jobs have of it draws the rest, too; of a
    shared device its share. The model of `core.energy`, with everything ready."""
    idle, work = _POWER[name]
    return idle * total.get(name, 0.0) * span + (work - idle) * used.get(name, 0.0)


def _deadlines(records: Sequence[Record]) -> Figures:
    """A job with a deadline that never ended has missed it; how late it is nobody knows."""
    asked = [(record, record.job.deadline) for record in records if record.job.deadline is not None]
    if not asked:
        return {}
    late = [record.ended - due for record, due in asked if record.done and record.ended is not None]
    late = [seconds for seconds in late if seconds > 0]
    missed = len(late) + sum(not record.done for record, _ in asked)
    return {
        "deadlines": len(asked),
        "deadlines_missed": missed / len(asked),
        "lateness_mean": mean(late),
        "lateness_max": max(late, default=0.0),
    }


def _estimates(done: Sequence[Record]) -> Figures:
    told = [(record.expected, record.job.run) for record in done if record.expected is not None and record.job.run > 0]
    if not told:
        return {}
    errors = [abs(expected.median - true) / true for expected, true in told]
    return {
        "estimate_mdape": quantile(errors, 0.5),
        "estimate_p90": quantile(errors, 0.9),
        "estimate_covered": mean([float(true <= expected.upper * (1 + 1e-9)) for expected, true in told]),
        "estimate_width": quantile([expected.upper / max(expected.median, 1e-9) for expected, _ in told], 0.5),
    }
