"""From a schedule to an order that holds whatever the tasks will really take: who hands on to whom.

Every unit of a resource is handed from task to task, as in the schedule; a task waits for the ends of those that it
gets units from, and for nothing else (N. Policella, A. Cesta, A. Oddi and S. Smith, "From precedence constraint posting
to partial order schedules", AI Communications 20, 2007). With the expected times this is the schedule itself; if a task
ends early or late, what follows moves with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from mcp_scheduler.searching.problem import Problem

_EPSILON = 1e-6


def links(problem: Problem, starts: Sequence[float]) -> list[tuple[int, ...]]:
    """For each task those that it waits for beside its predecessors. All of them start before it."""
    order = sorted(range(len(starts)), key=lambda task: (starts[task], task))
    free: list[list[tuple[float, int | None, float]]] = [[(0.0, None, capacity)] for capacity in problem.capacity]
    for until, demand in problem.busy:
        for kind, amount in demand:
            _split(free[kind], amount, until)
    found: list[tuple[int, ...]] = [() for _ in starts]
    for task in order:
        names: dict[int, None] = {}
        for kind, amount in problem.demands[task]:
            known = {*names, *problem.before[task]}
            names.update(dict.fromkeys(_given(free[kind], amount, starts[task], known)))
            free[kind].append((starts[task] + problem.seconds[task], task, amount))
        found[task] = tuple(sorted(names.keys() - set(problem.before[task])))
    return found


def _split(free: list[tuple[float, int | None, float]], amount: float, until: float) -> None:
    """What runs already has so much of the beginning."""
    ready, holder, whole = free[0]
    free[0] = (ready, holder, whole - amount)
    free.append((until, None, amount))


def _given(free: list[tuple[float, int | None, float]], amount: float, start: float, known: set[int]) -> list[int]:
    """Take so much from those that have let go of it by then; their names. From those that are waited for anyway first,
    then from whoever has let go last: that leaves the fewest links, and the earlier ones to others."""
    ready = [one for one in free if one[0] <= start + _EPSILON and one[2] > 0]
    ready.sort(key=lambda one: (one[1] is None or one[1] in known, one[0]), reverse=True)
    names: list[int] = []
    for one in ready:
        if amount <= _EPSILON:
            break
        part = min(amount, one[2])
        amount -= part
        free.remove(one)
        if one[2] - part > _EPSILON:
            free.append((one[0], one[1], one[2] - part))
        if one[1] is not None:
            names.append(one[1])
    return names
