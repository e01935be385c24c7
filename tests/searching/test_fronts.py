"""Fronts of schedules: nothing in them is worse than another, and they cover what they begin with."""

from __future__ import annotations

import json
from random import Random
from time import monotonic

import pytest

from mcp_scheduler.core.energy import Use, peak
from mcp_scheduler.searching.archive import Archive, Power
from mcp_scheduler.searching.fronts import look
from mcp_scheduler.searching.pareto import covers, front, spread
from mcp_scheduler.searching.problem import Problem
from mcp_scheduler.searching.schedules import serial
from tests.searching.test_search import check, drawn

POWER = {0: Power(3.0, 12.0)}


@pytest.mark.parametrize("seed", range(5))
def test_a_front_covers_all_points_and_none_of_it_covers_another(seed: int) -> None:
    random = Random(seed)
    points = [(random.randint(0, 9), random.randint(0, 9), random.randint(0, 9)) for _ in range(60)]
    best = [points[place] for place in front(points)]
    assert all(any(covers(one, point) for one in best) for point in points)
    assert not any(covers(one, other) for one in best for other in best if one is not other)


def test_the_ends_and_what_is_needed_stay_and_the_crowded_go() -> None:
    points = [(0, 10), (1, 9), (1.1, 8.9), (1.2, 8.8), (5, 5), (10, 0)]
    assert spread(points, 4) == [0, 3, 4, 5] or spread(points, 4) == [0, 1, 4, 5]
    assert spread(points, 4, {2}) == [0, 2, 4, 5]
    assert spread(points, 1, {1, 2}) == [1, 2]


@pytest.mark.parametrize("seed", range(6))
def test_keys_and_shares_make_a_schedule_that_uses_no_more_than_its_part(seed: int) -> None:
    problem, random = drawn(seed, 12), Random(seed)
    archive = Archive(problem, POWER, ("makespan", "energy"))
    for share in (0.0, 0.4, 1.0):
        archive.decode([random.random() for _ in problem.seconds], [share], "random")
    for one in archive.best:
        uses = [
            Use(start, start + seconds, dict(demand)[0])
            for start, seconds, demand in zip(one.starts, problem.seconds, problem.demands, strict=True)
        ]
        assert check(problem, one.starts) == pytest.approx(one.figures[0])
        assert peak(uses) <= one.capacity[0] + 1e-9
    narrow = archive.narrowed([0.0]).capacity[0]
    assert narrow == max(dict(demand)[0] for demand in problem.demands)


def test_what_is_busy_is_beside_the_part() -> None:
    problem = Problem((8000.0,), [1.0], [((0, 1000.0),)], [()], [(5.0, ((0, 2000.0),))])
    archive = Archive(problem, {0: Power(3.0, 12.0, 1000.0)}, ("makespan", "energy"))
    assert [archive.narrowed([share]).capacity for share in (0.0, 0.1, 0.5)] == [(3000.0,), (4000.0,), (7000.0,)]
    assert archive.figures([0.0]) == (1.0, 12.0)


def test_the_child_answers_nothing_worse_than_what_it_was_given() -> None:
    problem = drawn(3, 14)
    given, _ = serial(problem, range(14))
    archive = Archive(problem, POWER, ("makespan", "energy"))
    told = {
        "problem": json.loads(json.dumps(problem.told())), "given": [given], "power": {"0": POWER[0]},
        "objectives": ["energy"],
    }  # fmt: skip
    answer = look(told, monotonic() + 0.15)
    figures = [archive.figures(one["starts"]) for one in answer["schedules"]]
    assert any(covers(one, archive.figures(given)) for one in figures)
    assert 1 <= len(figures) <= 8
    assert len(front(figures)) == len(figures)
