"""PSPLIB J30: how far above the optimum what `plan_tasks` plans with the objective makespan ends.

    python benchmarks/orders.py psplib-j30.tar.gz --every 12 --seconds 0.5
    python benchmarks/orders.py psplib-j30.tar.gz --every 4 --seconds 2 --jobs 2

Each project goes the road of plan_tasks: a dry run of the policy, the search in a child process, and a dry run of the
order that it found, on the real decision. The makespan of that last one counts. With `--jobs 2` two projects are on the
way at a time, each with a child process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import tarfile
from pathlib import PurePath
from statistics import mean
from time import monotonic

from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.events import Group, NewTask, Submitted
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Status, Task, Terms
from mcp_scheduler.policies.catalogue import BUILT_IN
from mcp_scheduler.service import ordering, question
from mcp_scheduler.simulation import snapshot
from mcp_scheduler.simulation.dry_run import DryRun, Forecourse
from mcp_scheduler.simulation.estimates import Told, estimate
from mcp_scheduler.simulation.readers import psplib
from mcp_scheduler.simulation.trace import Trace

NOW = 1_000_000.0
POLICY = BUILT_IN["balanced"]


def makespan(future: Forecourse) -> float:
    return max(run.end for run in future.runs.values()) - NOW


def submitted(trace: Trace) -> Submitted:
    tasks = [
        Task(
            job.id, number, Terms(job.kind, job.target, "trace", "bench", job.needs), NOW, Status(State.PENDING, NOW),
            name=job.target, group="project", after=job.after,
        )
        for number, job in enumerate(trace.jobs)
    ]  # fmt: skip
    group = Group("project", "", "graph", "bench", len(tasks), NOW)
    return Submitted([NewTask(task, b"") for task in tasks], group)


async def planned(trace: Trace, seconds: float) -> tuple[float, float | None]:
    """The makespan of the policy, and with the order that is found; None where the search did not answer."""
    cluster = Cluster(POLICY)
    cluster.forecasts = Told(trace, estimate("exact", 1))
    cluster.set_node(trace.machines[0].node)
    taken, event = snapshot.take(cluster, NOW), submitted(trace)
    for new in event.tasks:
        taken.known.note(cluster, new.task, [], is_stranger=False)
    greedy = DryRun(taken, POLICY, event).finish(monotonic() + 60)
    asked = question.question_of(taken, event, greedy)
    answer = await question.ask(asked, [question.starts_of(asked, greedy, NOW)], [()], seconds)
    if answer is None:  # the machine is too busy for the child; plan_tasks leaves it at the policy then
        return makespan(greedy), None
    order = ordering.in_order(asked, answer["starts"], event)
    found = DryRun(taken, POLICY, order.event).finish(monotonic() + 60)
    return makespan(greedy), min(makespan(greedy), makespan(found))


def projects(archive: str, every: int, first: int) -> list[tuple[Trace, float]]:
    with tarfile.open(archive) as tar:
        members = [member for member in tar if member.isfile()]
        files = {PurePath(member.name).name: tar.extractfile(member).read().decode() for member in members}
    optima = {row["instance"]: float(row["optimum"]) for row in csv.DictReader(io.StringIO(files["optimum.csv"]))}
    names = sorted(name for name in files if name.endswith(".rcp"))[first::every]
    return [(psplib.read(name, files[name]), optima[name.removesuffix(".rcp")]) for name in names]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive")
    parser.add_argument("--every", type=int, default=12, help="take every n-th of the 480 projects")
    parser.add_argument("--first", type=int, default=0, help="begin with this one")
    parser.add_argument("--seconds", type=float, default=0.5, help="of the search, for each")
    parser.add_argument("--jobs", type=int, default=1, help="projects at a time")
    asked = parser.parse_args()
    turn = asyncio.Semaphore(asked.jobs)
    longest, silent = 0.0, 0

    async def one(trace: Trace, optimum: float) -> tuple[float, float]:
        nonlocal longest, silent
        async with turn:
            begin = monotonic()
            greedy, found = await planned(trace, asked.seconds)
            longest = max(longest, monotonic() - begin)
        silent += found is None
        return greedy / optimum - 1, (greedy if found is None else found) / optimum - 1

    told = await asyncio.gather(*(one(*project) for project in projects(asked.archive, asked.every, asked.first)))
    one_pass, over = ([two[place] for two in told] for place in (0, 1))
    at_optimum = mean(value < 1e-3 for value in over)  # PSPLIB's dummies take a thousandth of a second here
    print(
        f"{len(over)} projects, {asked.seconds:g} s each: over the optimum {percent(mean(one_pass))} in one pass, "
        f"{percent(mean(over))} with the search (worst {percent(max(over))}, {percent(at_optimum)} at the optimum); "
        f"the longest plan took {longest:.2f} s, {silent} searches did not answer"
    )


def percent(value: float) -> str:
    return f"{100 * value:.2f} %"


if __name__ == "__main__":
    asyncio.run(main())
