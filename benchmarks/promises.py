"""What the policies promise, measured: the real decision on virtual time, with the forecasts that an engine learns.

python benchmarks/promises.py fairness
python benchmarks/promises.py deadlines
python benchmarks/promises.py deadlines --wide
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from dataclasses import dataclass, field

from mcp_scheduler.core.admission import admission
from mcp_scheduler.core.agenda import loss
from mcp_scheduler.core.events import CancelAsked
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Needs, Task
from mcp_scheduler.policies.catalogue import BUILT_IN
from mcp_scheduler.simulation import machines
from mcp_scheduler.simulation.experiment import forecasts
from mcp_scheduler.simulation.jobs import Job
from mcp_scheduler.simulation.run import EPOCH, Simulation
from mcp_scheduler.simulation.samples import jain
from mcp_scheduler.simulation.trace import Trace, ordered

CPUS = 8
GPUS = 4
MEAN = 60.0  # seconds of a job on a GPU
WIDE = (1, 1, 2, 4)  # CPUs of a job, each as likely
FUNCTIONS = {f"f{number}": 20 * 1.5**number for number in range(8)}  # → median seconds


def fairness(policy: str, seed: int, seconds: float) -> dict[str, float]:
    """Device-seconds by principal: one brings ten times as much as the other, and that alone would be 60 % of all."""
    draw = random.Random(seed)
    jobs: list[Job] = []
    for who, load in (("ann", 6.0), ("bob", 0.6)):
        at = 0.0
        while at < seconds:
            at += draw.expovariate(load * GPUS / (MEAN * math.exp(0.125)))
            target = f"f{draw.randrange(4)}"
            needs = Needs((("cpus", 1000),), gpus=1)
            run = MEAN * draw.lognormvariate(0, 0.5)
            jobs.append(Job(f"{who}-{len(jobs)}", at, run, needs, principal=who, target=target))
    trace = ordered("fairness", jobs, machines.parse([f"cpus=8,gpus={GPUS},gpu_memory=80GB"]))
    simulation = Simulation(trace, BUILT_IN[policy], forecasts(trace, "learnt", seed))
    while (now := simulation.next_moment()) <= EPOCH + seconds:
        simulation.step(now)
    served = {"ann": 0.0, "bob": 0.0}
    for record in simulation.run.records.values():
        if record.began is not None:
            ended = seconds if record.ended is None else record.ended
            served[record.job.principal] += ended - record.began
    return served


@dataclass
class Admitted:
    """Jobs by what was said of them on arrival, after the warm-up. `wanted`: an oracle with true run times would have
    admitted them, in the same situation; `missed`: of the admitted, those that were late all the same."""

    asked: int = 0
    wanted: set[str] = field(default_factory=set)
    admitted: set[str] = field(default_factory=set)
    missed: set[str] = field(default_factory=set)

    @property
    def recall(self) -> float:
        return len(self.wanted & self.admitted) / len(self.wanted)

    @property
    def miss_ratio(self) -> float:
        return len(self.missed) / len(self.admitted)


class Asking(Simulation):
    """Whoever is told that his deadline cannot be met withdraws."""

    def __init__(self, trace: Trace, policy: str, seed: int, warm_up: int) -> None:
        super().__init__(trace, BUILT_IN[policy], forecasts(trace, "learnt", seed))
        self.told = Admitted()
        self._later = {job.id for job in trace.jobs[warm_up:]}
        self._seen = 0

    def step(self, now: float) -> bool:
        changed = super().step(now)
        for job in self._arrivals[self._seen : self._arrived]:
            self._look_at(self.cluster.tasks[job.id], now)
        self._seen = self._arrived
        return changed

    def _look_at(self, task: Task, now: float) -> None:
        is_admitted = is_wanted = task.status.state is State.RUNNING
        found = admission(self.cluster, task, now)
        if found is not None:
            is_admitted, is_wanted = found.is_admitted, self._oracle(task, now)
        if not is_admitted:
            self._executor.inbox.append(CancelAsked((task.id,)))
        if task.id in self._later:
            self.told.asked += 1
            self.told.admitted |= {task.id} if is_admitted else set()
            self.told.wanted |= {task.id} if is_wanted else set()

    def _oracle(self, task: Task, now: float) -> bool:
        """The same question, answered from the times that the trace has: whether it is in time, and nobody who was is
        late through it. `lost`: a wide task waits longer for the same work."""
        before = 0.0  # work
        own = self.run.records[task.id].job
        waiting: list[tuple[float, Job]] = []
        for other in self.cluster.tasks.values():
            record = self.run.records[other.id]
            if other.status.state is State.RUNNING and record.began is not None:
                before += max(0.0, record.began - self._start + record.job.run - now) * cpus_of(record.job)
            elif other.status.state is State.QUEUED and other is not task:
                waiting.append((other.deadline or 0.0, record.job))
        waiting.sort(key=lambda one: one[0])
        first = [job for deadline, job in waiting if deadline < (task.deadline or 0.0)]
        before += sum(job.run * cpus_of(job) for job in first)
        if now + before / CPUS * loss(self.cluster, own.needs) + own.run > (task.deadline or 0.0):
            return False
        more = own.run * cpus_of(own)
        for deadline, job in waiting[len(first) :]:
            lost = loss(self.cluster, job.needs) / CPUS
            if now + before * lost + job.run <= deadline < now + (before + more) * lost + job.run:
                return False
            before += job.run * cpus_of(job)
        return True


def cpus_of(job: Job) -> float:
    return dict(job.needs.amounts)["cpus"] / 1000


def deadlines(
    policy: str, seed: int, count: int, load: float, sigma: float, warm_up: int = 300, widths: tuple[int, ...] = (1,)
) -> Admitted:
    """Jobs of eight functions with lognormal run times, with deadlines of 1.2 to 6 run times; `widths`: their CPUs."""
    draw = random.Random(seed)
    mean = sum(FUNCTIONS.values()) / len(FUNCTIONS) * math.exp(sigma**2 / 2) * sum(widths) / len(widths)
    jobs: list[Job] = []
    at = 0.0
    for number in range(count):
        at += draw.expovariate(load * CPUS / mean)
        target = draw.choice(list(FUNCTIONS))
        run = FUNCTIONS[target] * draw.lognormvariate(0, sigma)
        deadline = at + run * draw.uniform(1.2, 6)
        width = draw.choice(widths) if len(widths) > 1 else widths[0]
        jobs.append(Job(f"j{number}", at, run, Needs((("cpus", 1000 * width),)), target=target, deadline=deadline))
    simulation = Asking(ordered("deadlines", jobs, machines.parse([f"cpus={CPUS}"])), policy, seed, warm_up)
    records = simulation.finish().records
    for name in simulation.told.admitted:
        record = records[name]
        if record.ended is None or record.ended > (record.job.deadline or 0.0):
            simulation.told.missed.add(name)
    return simulation.told


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("fairness", "deadlines"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--wide", action="store_true", help="jobs of 1, 1, 2 and 4 of the 8 CPUs, not of one each")
    options = parser.parse_args()
    for seed in range(1, options.seeds + 1):
        if options.what == "fairness":
            for policy in ("fair_share", "balanced", "fifo"):
                served = fairness(policy, seed, 10_000.0)
                told = ", ".join(f"{name} {amount:,.0f}" for name, amount in served.items())
                sys.stdout.write(
                    f"seed {seed}, {policy}: device-seconds {told}; Jain {jain(list(served.values())):.4f}\n"
                )
        else:
            for load in (0.7, 0.9, 1.2):
                for sigma in (0.1, 0.3):
                    found = deadlines("edf", seed, 2000, load, sigma, widths=WIDE if options.wide else (1,))
                    sys.stdout.write(
                        f"seed {seed}, load {load}, sigma {sigma}: {found.asked} asked, {len(found.wanted)} an oracle"
                        f" admits, {len(found.admitted)} admitted; recall {found.recall:.3f},"
                        f" missed {found.miss_ratio:.3f}\n"
                    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
