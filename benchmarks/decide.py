"""What a decision costs: microseconds a task, for submitting and for placing and ending, at growing queue lengths.

    python benchmarks/decide.py [--quick | --lengths 1000000] [--memory] [--policies all] [--shapes 1,100,1000]

The goal is less than 100 µs a task in every cell, and no growth along a row: cost follows what changed, never how much
waits. `batch` hands up to 256 events to each decision (of two workers, what both have ended), `single` one. Committing
is not measured: changes are applied at once. The collector of memory is set as in the engine.
Under a policy with a quantum `turns` is the cost of a call that gives way to the next, in two decisions: to
ask it, and to hear that it did and place who follows. Turns of which nobody could make use count as well.
The time is the processor's, so that what else the machine does is not counted. A million queued take some 1 GiB of
memory and a minute to be made, once for each policy and number of shapes.
"""

from __future__ import annotations

import argparse
import gc
import time
import tracemalloc
from collections.abc import Iterator
from itertools import islice

from mcp_scheduler.app import tune
from mcp_scheduler.core.changes import Effect, Pause
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.decide import decide
from mcp_scheduler.core.events import Ended, Event, NewTask, Outcome, Submitted
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import LOCAL, Node
from mcp_scheduler.core.policy import Policy, quantum_of
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.core.task import MILLI, Kind, Needs, Status, Task, Terms
from mcp_scheduler.policies.catalogue import BUILT_IN

BATCH = 256
SHORT = 0.0001  # seconds that a call takes: windows are filled
GIB = 2**30


def shapes(count: int) -> list[Terms]:
    """Different targets, principals and needs: every one has its own queue."""
    return [
        Terms(
            Kind.FUNCTION,
            f"module.function_{number}",
            "environment",
            f"principal-{number % 10}",
            Needs((("cpus", MILLI if number % 5 else 2 * MILLI), ("memory", number * 1_000_000))),
        )
        for number in range(count)
    ]


def arrivals(kinds: list[Terms], start: int = 0) -> Iterator[Task]:
    number = start
    while True:
        number += 1
        terms = kinds[number % len(kinds)]
        status = Status(State.QUEUED, float(number), priority=number % 7 if len(kinds) > 1 else 0)
        yield Task(f"task-{number:08}", number, terms, float(number), status)


class World:
    """A node with two cpus, `queued` tasks that wait, and a worker that ends whatever was started, in that order."""

    def __init__(self, queued: int, kinds: list[Terms], policy: Policy) -> None:
        self.cluster = Cluster(policy)
        self.kinds = kinds
        self.now = float(queued)
        self.cluster.load(islice(arrivals(kinds), queued), [])
        self.cluster.set_node(Node(LOCAL, (("cpus", 2 * MILLI), ("memory", 64 * GIB))))
        for terms in kinds:
            self.cluster.estimates.learn(terms.target, SHORT)
        self.cluster.rebuild()
        self.fresh = arrivals(kinds, queued)
        self.turn([])

    def turn(self, events: list[Event], seconds: float = 0.001) -> list[Effect]:
        self.now += seconds
        decision = decide(self.cluster, events, self.now)
        self.cluster.apply(decision.changes)
        return decision.effects

    def new_tasks(self, count: int) -> list[NewTask]:
        return [NewTask(task, b"") for task in islice(self.fresh, count)]

    def ends(self, count: int) -> list[Event]:
        running = islice(self.cluster.attempts, count)
        return [Ended(attempt, self.now, Outcome(seconds=SHORT)) for attempt in running]


def measure_submit(world: World, batch: int, tasks: int) -> float:
    """Microseconds a task. Each event brings one task, as calls of many clients do."""
    spent = 0.0
    for _ in range(tasks // batch):
        events: list[Event] = [Submitted([new]) for new in world.new_tasks(batch)]
        started = time.process_time()
        world.turn(events)
        spent += time.process_time() - started
    return spent / tasks * 1e6


def measure_run(world: World, batch: int, tasks: int) -> float:
    """Microseconds a task that was placed and ended. The queue is kept at its length, outside of the measurement."""
    spent, done = 0.0, 0
    while done < tasks:
        events = world.ends(batch)
        if not events:
            break
        done += len(events)
        started = time.process_time()
        world.turn(events)
        spent += time.process_time() - started
        world.turn([Submitted(world.new_tasks(len(events)))])
    return spent / done * 1e6


def measure_turns(world: World, tasks: int) -> float:
    """Microseconds for each call that gave way when its turn was over. One of high priority goes on for some turns."""
    quantum = quantum_of(world.cluster.policy)
    spent, done, turns = 0.0, 0, 0
    asked: list[AttemptId] = []
    while done < tasks and turns < 2 * tasks:
        turns += 1
        started = time.process_time()
        asked += [effect.attempt for effect in world.turn([], quantum) if isinstance(effect, Pause)]
        gone = Outcome(Reason.YIELDED, seconds=quantum)
        effects = world.turn([Ended(attempt, world.now, gone) for attempt in asked])
        spent += time.process_time() - started
        done += len(asked)
        asked = [effect.attempt for effect in effects if isinstance(effect, Pause)]  # they give way in the next turn
    return spent / done * 1e6 if done else float("nan")


def table(lengths: list[int], tasks: int, policy: Policy, counts: tuple[int, ...]) -> None:
    print(f"{policy.name + ', µs a task':24}" + "".join(f"{length:>12,}" for length in lengths) + "   queued")
    for count in counts:
        columns = [column(length, tasks, policy, count) for length in lengths]
        for name in columns[0]:
            print(f"{count:>5} {name:18}" + "".join(f"{cells[name]:12.1f}" for cells in columns), flush=True)


def column(length: int, tasks: int, policy: Policy, count: int) -> dict[str, float]:
    """The figures for one length of the queue, by name; what was queued is gone when they are told."""
    world = World(length, shapes(count), policy)
    gc.collect()
    gc.freeze()
    cells = {
        "submit, batch": measure_submit(world, BATCH, tasks),
        "submit, single": measure_submit(world, 1, tasks),
        "place+end, batch": measure_run(world, BATCH, tasks),
        "place+end, single": measure_run(world, 1, tasks),
    }
    if quantum_of(policy):
        cells["turns"] = measure_turns(world, tasks // 16)
    del world
    gc.unfreeze()
    gc.collect()
    return cells


def memory(count: int) -> None:
    """Bytes of memory for each task that waits in the queue."""
    kinds = shapes(100)
    tracemalloc.start()
    world = World(0, kinds, BUILT_IN["balanced"])
    before, _ = tracemalloc.get_traced_memory()
    world.cluster.load(islice(arrivals(kinds), count), [])
    world.cluster.rebuild()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{(after - before) / count:.0f} bytes for each of {count:,} queued tasks")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="up to 10,000 queued only")
    parser.add_argument("--lengths", default="10,10000,1000000", help="how many wait")
    parser.add_argument("--memory", action="store_true", help="measure the memory of 200,000 queued tasks instead")
    parser.add_argument("--policies", default="balanced", help="names with commas between them, or all")
    parser.add_argument("--shapes", default="1,100,1000", help="numbers of different shapes")
    options = parser.parse_args()
    if options.memory:
        memory(200_000)
        return
    tune()
    names = list(BUILT_IN) if options.policies == "all" else options.policies.split(",")
    counts = tuple(int(count) for count in options.shapes.split(","))
    lengths = [10, 10_000] if options.quick else [int(length) for length in options.lengths.split(",")]
    for name in names:
        table(lengths, 2_560, BUILT_IN[name], counts)


if __name__ == "__main__":
    main()
