"""NSGA-II and MOEA/D, where pymoo is installed (`make test-extras`)."""

import json
from importlib.util import find_spec
from itertools import count
from time import monotonic

import pytest

from mcp_scheduler.searching.archive import Archive, Power
from mcp_scheduler.searching.fronts import look
from mcp_scheduler.searching.pareto import covers
from mcp_scheduler.searching.schedules import serial
from tests.searching.test_search import check, drawn

pytestmark = pytest.mark.skipif(find_spec("pymoo") is None, reason="pymoo is not installed: the extra `pareto`")
BOTH = ("makespan", "energy")
ALL = (*BOTH, "utilisation")


def evolved(by, objectives, looks=400):
    from mcp_scheduler.searching.evolving import evolve

    problem = drawn(4, 20)
    archive = Archive(problem, {0: Power(3.0, 12.0)}, objectives)
    given, _ = serial(problem, range(20))
    archive.keep("given", given, problem.capacity)
    looked = count()
    evolve(archive, by, lambda: next(looked) < looks)
    return archive, archive.figures(given)


@pytest.mark.parametrize("objectives", [BOTH, ALL])
@pytest.mark.parametrize("by", ["nsga2", "moead"])
def test_it_finds_what_is_better_and_never_loses_what_it_began_with(by, objectives):
    archive, first = evolved(by, objectives)
    assert any(covers(one.figures, first) for one in archive.best)
    assert any(one.by == by for one in archive.best)
    assert all(check(archive.problem, one.starts) == pytest.approx(one.figures[0]) for one in archive.best)


@pytest.mark.parametrize("by", ["nsga2", "moead"])
def test_the_same_seed_goes_the_same_way(by):
    assert evolved(by, BOTH)[0].best == evolved(by, BOTH)[0].best


def test_the_child_says_who_has_found_it_and_keeps_its_time():
    problem = drawn(4, 20)
    given, _ = serial(problem, range(20))
    told = {
        "problem": json.loads(json.dumps(problem.told())), "given": [given], "power": {"0": [3.0, 12.0]},
        "objectives": list(BOTH),
    }  # fmt: skip
    begin = monotonic()
    answer = look(told, begin + 1.0)
    assert answer["by"] == "pymoo"
    assert {one["by"] for one in answer["schedules"]} <= {"given", "search", "nsga2", "moead"}
    assert monotonic() - begin < 5
