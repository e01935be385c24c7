"""A better plan for the tasks of a graph: from a schedule to what can be submitted, and kept until it is.

It is soft. It holds no times: a task waits for the ends of those that it was planned behind, however they end; among
those that wait for nobody the policy decides as ever. Where there was a choice of places, each task is pinned to the
one that was planned for it: see `core.pins`.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from mcp_scheduler import errors
from mcp_scheduler.core.events import Submitted
from mcp_scheduler.core.ids import SUFFIX_LENGTH, make_id
from mcp_scheduler.core.pins import SLACK
from mcp_scheduler.core.task import Task
from mcp_scheduler.requests import Caller, TaskSpec
from mcp_scheduler.searching.links import links
from mcp_scheduler.searching.problem import Choice
from mcp_scheduler.service.question import Question, Spot
from mcp_scheduler.service.references import names_in

KEPT: Final = 50  # plans that can be submitted


class Pin(NamedTuple):
    """Where a task is planned to run, and for how many seconds it waits for that place once it could run."""

    spot: Spot
    seconds: float


class Order(NamedTuple):
    """How a graph is submitted: the tasks in this order, for each the others that it waits for, and the pins of those
    that have any."""

    event: Submitted
    behind: Mapping[str, Sequence[str]]
    pins: Mapping[str, Pin]


class Ordering(NamedTuple):
    """The keys of a graph in their planned order, those that each waits for beside its dependencies, and pins."""

    principal: str
    keys: tuple[str, ...]
    behind: Mapping[str, tuple[str, ...]]
    pins: Mapping[str, Pin]


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


def in_order(question: Question, starts: Sequence[float], event: Submitted, choice: Choice = ()) -> Order:
    """The submission in this order, with whom each waits for and where it is to run."""
    problem = question.problem.choosing(choice)
    found = links(problem, starts)
    names = [task.id for task in question.tasks]
    offset = question.offset
    behind: dict[str, list[str]] = {}
    pins: dict[str, Pin] = {}
    for number, name in enumerate(names):
        place = offset + number
        behind[name] = [names[other - offset] for other in found[place] if other >= offset]
        spot = question.spot(number, choice)
        if spot is not None:
            ready = max(
                (starts[one] + problem.seconds[one] for one in (*problem.before[place], *found[place])), default=0
            )
            pins[name] = Pin(spot, max(0.0, starts[place] - ready) + SLACK * problem.seconds[place])
    places = {name: number for number, name in enumerate(names)}
    items = sorted(event.tasks, key=lambda item: (starts[offset + places[item.task.id]], places[item.task.id]))
    seqs = sorted(item.task.seq for item in items)
    moved = [replace(item, task=replace(item.task, seq=seq)) for item, seq in zip(items, seqs, strict=True)]
    for item in moved:
        if others := behind[item.task.id]:
            item.task.extras = replace(item.task.extras, behind=(*item.task.extras.behind, *others))
    pin([(item.task.id, item.task) for item in moved], pins)
    return Order(replace(event, tasks=moved), behind, pins)


def pin(tasks: Iterable[tuple[str, Task]], pins: Mapping[str, Pin]) -> None:
    """Let the tasks, told by the names under which they have pins, know where they are planned to run."""
    for name, task in tasks:
        found = pins.get(name)
        if found is not None:
            task.extras = replace(task.extras, pin=tuple(found.spot), pin_for=found.seconds)
