"""The order of a graph's tasks: dependencies first, then the place in the submission. Tasks that conflict (one writes
what the other reads or writes) keep that order, as the statements of a program would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from heapq import heapify, heappop, heappush

from mcp_scheduler import errors
from mcp_scheduler.requests import TaskSpec
from mcp_scheduler.service.references import names_in


def order(specs: Mapping[str, TaskSpec]) -> Sequence[str]:
    """The keys of a graph, dependencies first, otherwise as they were submitted. `CycleFound` names the tasks that wait
    for each other."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for key, spec in specs.items():
        sorter.add(key, *(name for name in sorted(names_in(spec)) if name in specs))
    try:
        sorter.prepare()
    except CycleError as error:
        cycle = " → ".join(reversed(error.args[1]))
        raise errors.CycleFound(
            f"These tasks wait for each other: {cycle}.", hint="Remove one of these dependencies."
        ) from None
    places = {key: place for place, key in enumerate(specs)}
    keys = list(specs)
    ready = [places[key] for key in sorter.get_ready()]
    heapify(ready)
    found: list[str] = []
    while ready:
        key = keys[heappop(ready)]
        found.append(key)
        sorter.done(key)
        for following in sorter.get_ready():
            heappush(ready, places[following])
    return found


def conflicts_before(specs: Mapping[str, TaskSpec], in_order: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """For each key the keys that it conflicts with and that come before it. Only the nearest ones: the last writer of
    what it reads; of what it writes the readers since the last writer, or that writer. They wait for the others."""
    writer: dict[str, str] = {}
    readers: dict[str, list[str]] = {}
    found: dict[str, tuple[str, ...]] = {}
    for key in in_order:
        spec = specs[key]
        before: dict[str, None] = {}
        for thing in dict.fromkeys(spec.writes):
            last = readers.pop(thing, None) or ([writer[thing]] if thing in writer else [])
            before.update(dict.fromkeys(last))
            writer[thing] = key
        for thing in dict.fromkeys(spec.reads):
            if thing in spec.writes:
                continue
            if thing in writer:
                before[writer[thing]] = None
            readers.setdefault(thing, []).append(key)
        if before:
            found[key] = tuple(before)
    return found
