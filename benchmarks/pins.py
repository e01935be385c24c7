"""What a plan promises, and what comes of it, where devices are unlike.

    python benchmarks/pins.py --seeds 12 --parts 0.8

A graph of calls on the GPUs of a made-up cluster with three classes is planned as `plan_tasks` does it (a dry run of
the policy, the search, a dry run of what it found), and is then carried out on the real decision, with run times that
are as foreseen, and that are not. `class`: the search and its pins know classes of devices; `device`: they know each.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections.abc import Sequence
from statistics import mean
from time import monotonic

from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.estimates import Expected
from mcp_scheduler.core.events import Group, NewTask, Submitted
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Node
from mcp_scheduler.core.seen import GpuSeen
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Kind, Needs, Status, Task, Terms
from mcp_scheduler.policies.catalogue import BUILT_IN
from mcp_scheduler.searching import fronts
from mcp_scheduler.service import ordering, question
from mcp_scheduler.simulation import snapshot
from mcp_scheduler.simulation.dry_run import DryRun, Forecourse
from mcp_scheduler.simulation.snapshot import Snapshot

NOW = 1_000_000.0
POLICY = BUILT_IN["balanced"]
SLOWER = {"fast": 1.0, "middle": 1.7, "slow": 3.0, "": 1.7}
GIB = 2**30
DEVICES = {"here": ("fast", "fast", "middle", "middle"), "there": ("middle", "slow", "slow", "slow")}
CPU = (("cpus", 1000),)


class Known:
    """Forecasts: the seconds in a target's name, times what the class is slower."""

    def expected(self, task: Task, device_class: str = "", /) -> Expected:
        seconds = float(task.terms.target.split()[1]) * SLOWER[device_class]
        return Expected(seconds, 1.5 * seconds)

    def learn(self, *_: object, **__: object) -> None:
        """Nothing is learnt."""


class Carried(DryRun):
    """What was submitted, carried out: each task takes so many times what was expected of it."""

    def __init__(self, taken: Snapshot, event: Submitted, factors: dict[str, float]) -> None:
        super().__init__(taken, POLICY, event)
        self._factors = factors

    def _begin(self, attempt: AttemptId, now: float) -> float:
        return super()._begin(attempt, now) * self._factors.get(attempt.task, 1.0)


def cluster_of() -> Cluster:
    cluster = Cluster(POLICY)
    cluster.forecasts = Known()
    number = 0
    for node, labels in DEVICES.items():
        cluster.set_node(Node(node, (("cpus", 16_000),)))
        seen = []
        for label in labels:
            seen.append(GpuSeen(f"GPU-{number}", number, label, label, 24 * GIB, live=False))
            number += 1
        cluster.rooms[node].devices.observe(seen)
    return cluster


def graph(seed: int, count: int, parts: float) -> Submitted:
    """Calls in a graph; so many of them take a part of a device, 6 to 16 of its 24 GiB."""
    draw = random.Random(seed)
    tasks: list[Task] = []
    for number in range(count):
        shared = draw.random() < parts
        needs = Needs(CPU, gpus=1, gpu_memory=draw.choice((6, 10, 16)) * GIB if shared else 0)
        after = tuple({f"t{draw.randrange(number)}" for _ in range(draw.choice((0, 0, 1, 2)))}) if number else ()
        terms = Terms(Kind.COMMAND, f"train {draw.choice((10, 20, 40, 80))}", "env", "bench", needs)
        task = Task(f"t{number}", number, terms, NOW, Status(State.PENDING, NOW), group="g", after=after)
        tasks.append(task)
    return Submitted([NewTask(task, b"") for task in tasks], Group("g", "", "graph", "bench", count, NOW))


def strangers(seed: int, count: int) -> Submitted:
    """Somebody else's calls, which come behind the plan."""
    draw = random.Random(f"strangers/{seed}")
    tasks = [
        Task(
            f"s{number}", 10_000 + number,
            Terms(Kind.COMMAND, f"other {draw.choice((5, 10, 20))}", "env", "other", Needs(CPU, gpus=1)),
            NOW, Status(State.PENDING, NOW),
        )
        for number in range(count)
    ]  # fmt: skip
    return Submitted([NewTask(task, b"") for task in tasks])


def makespan(future: Forecourse, names: Sequence[str]) -> float:
    return max(future.runs[name].end or math.inf for name in names) - NOW


def planned(event: Submitted, seconds: float, single: int) -> tuple[float, Snapshot, Submitted]:
    """The end that the search has promised, and what is submitted for it."""
    cluster = cluster_of()
    taken = snapshot.take(cluster, NOW)
    for new in event.tasks:
        taken.known.note(cluster, new.task, taken.classes(), is_stranger=False)
    greedy = DryRun(taken, POLICY, event).finish(monotonic() + 60)
    asked = question.question_of(taken, event, greedy, single)
    assert asked is not None, "there is always a choice of places"
    told = {
        "problem": asked.problem.told(),
        "given": [question.starts_of(asked, greedy, NOW)],
        "choices": [question.choice_of(asked, greedy)],
    }
    answer = fronts.shortest(told, monotonic() + seconds)
    order = ordering.in_order(asked, answer["starts"], event, answer["choice"])
    return answer["end"], taken, order.event


def carry_out(taken: Snapshot, event: Submitted, factors: dict[str, float], more: Submitted | None) -> float:
    both = event if more is None else Submitted([*event.tasks, *more.tasks], event.group)
    if more is not None:
        cluster = cluster_of()
        for new in more.tasks:
            taken.known.note(cluster, new.task, taken.classes(), is_stranger=False)
    future = Carried(taken, both, factors).finish(monotonic() + 60)
    return makespan(future, [new.task.id for new in event.tasks])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--tasks", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each search")
    parser.add_argument("--parts", type=float, default=0.4, help="of the tasks share a device")
    options = parser.parse_args()
    rows: dict[str, list[list[float]]] = {}
    for seed in range(options.seeds):
        event = graph(seed, options.tasks, options.parts)
        names = [new.task.id for new in event.tasks]
        plain = cluster_of()
        taken = snapshot.take(plain, NOW)
        for new in event.tasks:
            taken.known.note(plain, new.task, taken.classes(), is_stranger=False)
        promised = makespan(DryRun(taken, POLICY, event).finish(monotonic() + 60), names)
        candidates = {"no plan": (promised, taken, event)}
        for name, single in (("class", 0), ("device", question.SINGLE)):
            candidates[name] = planned(event, options.seconds, single)
        for name, (end, snapped, asked) in candidates.items():
            found = [end / promised]
            for sigma, count in ((0.0, 0), (0.2, 0), (0.5, 0), (0.2, 20)):
                ends = []
                for again in range(3):
                    draw = random.Random(f"{seed}/{again}")
                    factors = {one: math.exp(sigma * draw.gauss(0, 1)) for one in names}
                    more = strangers(seed, count) if count else None
                    ends.append(carry_out(snapped, asked, factors, more) / promised)
                found.append(mean(ends))
            rows.setdefault(name, []).append(found)
    sys.stdout.write(
        "makespans as parts of the policy's own: promised | as foreseen | off by 0.2 | by 0.5 | 0.2, and 20 others\n"
    )
    for name, found in rows.items():
        sys.stdout.write(f"{name:8}" + " | ".join(f"{mean(column):.3f}" for column in zip(*found, strict=True)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
