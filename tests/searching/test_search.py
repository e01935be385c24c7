"""The search for a better order: schedules are feasible, never worse than what they begin with, and hold as orders."""

from __future__ import annotations

from itertools import count, permutations
from random import Random

import pytest

from mcp_scheduler.searching.links import links
from mcp_scheduler.searching.problem import Problem
from mcp_scheduler.searching.schedules import from_both_ends, serial
from mcp_scheduler.searching.search import search


def drawn(seed: int, tasks: int = 7, *, busy: bool = False) -> Problem:
    random = Random(seed)
    return Problem(
        (4.0, 3.0),
        [float(random.randint(1, 9)) for _ in range(tasks)],
        [((0, float(random.randint(1, 4))), (1, float(random.randint(1, 3)))) for _ in range(tasks)],
        [tuple(sorted(random.sample(range(task), min(task, random.randint(0, 2))))) for task in range(tasks)],
        [(3.0, ((0, 2.0),))] if busy else [],
    )


def check(problem: Problem, starts: list[float]) -> float:
    """Predecessors have ended, and nothing is used twice; the end of all."""
    ends = [start + seconds for start, seconds in zip(starts, problem.seconds, strict=True)]
    for task, before in enumerate(problem.before):
        assert all(ends[other] <= starts[task] + 1e-9 for other in before)
    for at in starts:
        for kind, capacity in enumerate(problem.capacity):
            used = sum(
                dict(problem.demands[task]).get(kind, 0)
                for task in range(len(starts))
                if starts[task] <= at < ends[task]
            )
            used += sum(dict(demand).get(kind, 0) for until, demand in problem.busy if at < until)
            assert used <= capacity + 1e-9
    return max(ends)


def for_looks(number: int):
    looks = count()
    return lambda: next(looks) < number


def optimum(problem: Problem) -> float:
    tasks = range(len(problem.seconds))
    return min(
        serial(problem, order)[1]
        for order in permutations(tasks)
        if all(set(problem.before[task]) <= set(order[:place]) for place, task in enumerate(order))
    )


@pytest.mark.parametrize("seed", range(8))
def test_small_problems_are_solved_to_the_optimum(seed: int) -> None:
    problem = drawn(seed, 6)
    found = search(problem, [], for_looks(400))
    assert check(problem, found.starts) == found.end == optimum(problem)
    assert found.end >= problem.bound - 1e-9


@pytest.mark.parametrize("seed", range(20))
def test_a_search_without_time_is_no_worse_than_what_it_is_given(seed: int) -> None:
    problem = drawn(seed, 20, busy=True)
    starts, end = serial(problem, range(20))
    check(problem, starts)
    found = search(problem, [starts], lambda: False)
    assert check(problem, found.starts) <= end


@pytest.mark.parametrize("seed", range(20))
def test_from_both_ends_is_no_longer(seed: int) -> None:
    problem = drawn(seed, 20)
    starts, end = serial(problem, range(20))
    better, sooner = from_both_ends(problem, starts)
    assert check(problem, better) == sooner <= end


@pytest.mark.parametrize("seed", range(20))
def test_the_links_alone_keep_the_schedule_whatever_tasks_take(seed: int) -> None:
    """Who starts when those it waits for have ended never finds too little, with other times either."""
    problem = drawn(seed, 20)
    starts, end = serial(problem, range(20))
    found = links(problem, starts)
    random = Random(seed)
    for seconds in (problem.seconds, [random.uniform(0.1, 20.0) for _ in range(20)]):
        real = Problem(problem.capacity, list(seconds), problem.demands, problem.before)
        begun = [0.0] * 20
        for task in sorted(range(20), key=lambda task: (starts[task], task)):
            waited_for = (*problem.before[task], *found[task])
            begun[task] = max((begun[other] + real.seconds[other] for other in waited_for), default=0.0)
        finished = check(real, begun)
        if seconds is problem.seconds:
            assert finished <= end + 1e-9


def test_equal_problems_have_equal_answers() -> None:
    one, other = (search(drawn(3, 25), [], for_looks(100)) for _ in range(2))
    assert one == other
