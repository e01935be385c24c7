"""PSPLIB's projects in Patterson's format (`.rcp`): activities with durations, resources and successors.

First the numbers of activities and resources, then the capacities, then for each activity its duration, its demand of
each resource, the number of its successors and their numbers (from 1). Source: R. Kolisch and A. Sprecher, "PSPLIB – a
project scheduling problem library", EJOR 96 (1996).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable

from mcp_scheduler.core.node import Node
from mcp_scheduler.core.task import Needs
from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.simulation.jobs import Job
from mcp_scheduler.simulation.trace import Machine, Trace, amounts_of, ordered


def read(name: str, text: str) -> Trace:
    """One project: all its activities arrive at 0, on one node with the resources `r1`, `r2`, ..."""
    try:
        numbers = [int(word) for word in text.split()]
        activities, resources = numbers[:2]
        kinds = [f"r{number}" for number in range(1, resources + 1)]
        machine = Machine(Node("site", amounts_of(dict(zip(kinds, numbers[2:], strict=False)))))
        rows = _rows(numbers[2 + resources :], activities, resources)
    except (ValueError, IndexError) as error:
        raise InvalidRequest(f"{name} is no project in Patterson's format: {error}.") from error
    after: dict[int, list[str]] = {}
    for number, (_, _, successors) in enumerate(rows, 1):
        for successor in successors:
            after.setdefault(successor, []).append(f"activity-{number}")
    jobs = [
        Job(
            f"activity-{number}",
            0.0,
            float(duration),
            Needs(amounts_of(dict(zip(kinds, demands, strict=True)))),
            requested=float(duration),
            target=f"activity-{number}",
            after=tuple(after.get(number, ())),
            group=name,
        )
        for number, (duration, demands, _) in enumerate(rows, 1)
    ]
    return ordered(name, jobs, [machine])


def optima(lines: Iterable[str]) -> dict[str, float]:
    """The known optima: a CSV with the columns `instance` and `optimum`."""
    return {row["instance"]: float(row["optimum"]) for row in csv.DictReader(lines)}


def _rows(numbers: list[int], activities: int, resources: int) -> list[tuple[int, list[int], list[int]]]:
    rows: list[tuple[int, list[int], list[int]]] = []
    place = 0
    for _ in range(activities):
        head = place + 2 + resources
        end = head + numbers[head - 1] if head <= len(numbers) else head
        if not head <= end <= len(numbers):
            raise ValueError("the numbers end too early")
        rows.append((numbers[place], numbers[place + 1 : head - 1], numbers[head:end]))
        place = end
    return rows
