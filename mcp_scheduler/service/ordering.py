"""A better order for the tasks of a graph: a problem for the search, its answer, and kept until it is submitted.

The order is soft. It holds no times and no places: a task waits for the ends of those that it was planned behind,
however they end; among those that wait for nobody the policy decides as ever.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from mcp_scheduler import errors
from mcp_scheduler.core.events import Submitted
from mcp_scheduler.core.ids import SUFFIX_LENGTH, make_id
from mcp_scheduler.core.task import NO_EXTRAS, Extras, Needs, Task
from mcp_scheduler.requests import Caller, TaskSpec
from mcp_scheduler.runtime import child
from mcp_scheduler.searching.links import links
from mcp_scheduler.searching.problem import Demand, Problem
from mcp_scheduler.service.references import names_in
from mcp_scheduler.simulation.dry_run import Forecourse, Run
from mcp_scheduler.simulation.snapshot import Snapshot

KEPT: Final = 50  # plans that can be submitted
_START: Final = 2.0  # seconds beyond its time that the child may take to begin and to end
CPUS: Final = "cpus"
DEVICES: Final = "devices"


class Ordering(NamedTuple):
    """The keys of a graph in their planned order, and for each those that it waits for beside its dependencies."""

    principal: str
    keys: tuple[str, ...]
    behind: Mapping[str, tuple[str, ...]]


class Orderings:
    """The last plans, by id. They are not durable: a plan of yesterday is worth nothing."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Ordering] = OrderedDict()

    def keep(self, ordering: Ordering) -> str:
        name = make_id("plan", os.urandom(SUFFIX_LENGTH))
        self._kept[name] = ordering
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return name

    def find(self, caller: Caller, name: str) -> Ordering:
        found = self._kept.get(name)
        if found is None or (caller.isolated and found.principal != caller.principal):
            raise errors.InvalidRequest(
                f"There is no plan '{name}' any more.",
                hint="The last 50 are kept in memory. Call plan_tasks with objectives again, or leave `plan` out.",
            )
        return found


def ordered(
    specs: Mapping[str, TaskSpec], before: Mapping[str, tuple[str, ...]], ordering: Ordering, name: str
) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """The keys in the planned order, and whom each comes after. `before`: those it conflicts with and comes after."""
    seen: set[str] = set()
    for key in ordering.keys if set(ordering.keys) == set(specs) else ():
        if not ({*names_in(specs[key]), *before.get(key, ())} & specs.keys()) <= seen:
            break
        seen.add(key)
    if len(seen) < len(specs):
        raise errors.InvalidRequest(
            f"These are not the tasks of {name}.",
            hint="Submit the keys with the `after`, `reads` and `writes` that were planned, or leave `plan` out.",
        )
    return list(ordering.keys), {key: (*before.get(key, ()), *ordering.behind[key]) for key in ordering.keys}


class Question(NamedTuple):
    """A problem, and which tasks its places stand for; the places after them stand for what they wait for outside."""

    problem: Problem
    tasks: Sequence[Task]
    offset: int  # places before the tasks
    kinds: Mapping[str, int]  # the resources' numbers


def question_of(taken: Snapshot, event: Submitted, future: Forecourse) -> Question | None:
    """The arriving tasks beside what runs; None where some of them have no end in this future, or the machine is not
    one node. Each takes as long as there."""
    tasks = [new.task for new in event.tasks]
    runs = [future.runs[task.id] for task in tasks]
    if len(taken.places) != 1 or len(tasks) < 2 or any(_seconds(run) is None for run in runs):  # noqa: PLR2004 - an order needs two
        return None
    place = taken.places[0]
    capacity = {**dict(place.node.amounts), DEVICES: len(place.devices)}
    kinds = {name: kind for kind, name in enumerate(capacity)}
    sizes = [device.total or 0 for device in place.devices]
    mine = {task.id for task in tasks}

    def demand(needs: Needs) -> Demand:
        wanted: dict[str, float] = {name: amount for name, amount in needs.amounts if name in kinds}
        if needs.has_devices:
            part = needs.gpu_memory / max(sizes) if needs.gpu_memory and any(sizes) else 1.0
            wanted[DEVICES] = needs.gpus * min(1.0, part)
        return tuple((kinds[name], amount) for name, amount in wanted.items() if amount)

    outside = dict.fromkeys(name for task in tasks for name in task.after if name not in mine and name in future.runs)
    numbers = {name: number for number, name in enumerate([*outside, *(task.id for task in tasks)])}
    ends = [future.runs[name].end for name in outside]
    if any(end is None for end in ends):
        return None
    running = [run for run in future.runs.values() if run.was_running and run.end is not None]
    problem = Problem(
        tuple(capacity.values()),
        [*(max(0.0, (end or 0.0) - taken.now) for end in ends), *(_seconds(run) or 0.0 for run in runs)],
        [*(() for _ in outside), *(demand(task.terms.needs) for task in tasks)],
        [
            *(() for _ in outside),
            *(
                tuple(numbers[name] for name in dict.fromkeys((*task.after, *task.extras.behind)) if name in numbers)
                for task in tasks
            ),
        ],
        [((run.end or 0.0) - taken.now, demand(run.task.terms.needs)) for run in running],
    )
    return Question(problem, tasks, len(outside), kinds)


def _seconds(run: Run) -> float | None:
    return None if run.start is None or run.end is None else run.end - run.start


async def answer(question: Question, futures: Sequence[Forecourse], now: float, seconds: float) -> list[float] | None:
    """The start of every place in the best schedule that a child process finds in so much time. None if it fails."""
    found = await ask(question, [starts_of(question, one, now) for one in futures], seconds)
    return None if found is None else list(found["starts"])


def starts_of(question: Question, future: Forecourse, now: float) -> list[float]:
    """When each place starts in this future, in seconds from now."""
    runs = [future.runs[task.id] for task in question.tasks]
    return [*(0.0 for _ in range(question.offset)), *(max(0.0, (run.start or now) - now) for run in runs)]


async def ask(
    question: Question, given: Sequence[Sequence[float]], seconds: float, **more: Any
) -> dict[str, Any] | None:
    """What a child process finds in so much time, beginning with these starts. None, and a line in the log, if it
    fails."""
    told = {"problem": question.problem.told(), "given": given, "for": seconds, **more}
    return await child.ask("mcp_scheduler.searching", told, seconds + _START, "The search for an order")


def in_order(question: Question, starts: Sequence[float], event: Submitted) -> tuple[Submitted, dict[str, list[str]]]:
    """The submission in this order, and for each task the others that it waits for."""
    found = links(question.problem, starts)
    names = [task.id for task in question.tasks]
    offset = question.offset
    behind = {
        name: [names[place - offset] for place in found[offset + number] if place >= offset]
        for number, name in enumerate(names)
    }
    places = {name: number for number, name in enumerate(names)}
    items = sorted(event.tasks, key=lambda item: (starts[offset + places[item.task.id]], places[item.task.id]))
    seqs = sorted(item.task.seq for item in items)
    moved = [
        replace(item, task=replace(item.task, seq=seq, extras=_behind(item.task.extras, behind[item.task.id])))
        for item, seq in zip(items, seqs, strict=True)
    ]
    return replace(event, tasks=moved), behind


def _behind(extras: Extras, others: Sequence[str]) -> Extras:
    return replace(extras, behind=(*extras.behind, *others)) if others or extras is not NO_EXTRAS else extras
