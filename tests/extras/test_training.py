"""Models that are trained off the loop, where scikit-learn and river are installed (`make test-extras`)."""

from importlib.util import find_spec
from math import log
from random import Random

import pytest

from mcp_scheduler.forecast.book import Book
from mcp_scheduler.runtime.training import Training, is_possible

pytestmark = pytest.mark.anyio
needs_models = pytest.mark.skipif(find_spec("sklearn") is None, reason="scikit-learn is not installed: the extra `ml`")
needs_drift = pytest.mark.skipif(find_spec("river") is None, reason="river is not installed: the extra `drift`")


def steps(size):
    return {0: 1.0, 1: 40.0, 2: 3.0}[size // 10 % 3]


def taught(count, seconds, spread=0.8):
    random, book = Random(1), Book()
    for number in range(count):
        size = random.randrange(0, 30)
        book.learn("module.f", "", size, seconds(size, number) * random.lognormvariate(0, spread))
    return book


@needs_models
async def test_a_model_that_is_better_on_runs_it_has_not_seen_takes_part():
    book = taught(200, lambda size, _: steps(size))
    assert await Training(book, 1.0).train() > 0
    series = book.series(("module.f",))
    assert series.trained[15] == pytest.approx(log(40.0), abs=0.6)
    assert series.method == "trained"


@needs_models
async def test_one_that_is_no_better_is_not_taken():
    book = taught(200, lambda _size, number: 2.0 ** (number / 5), spread=0.05)  # it is the latest that counts
    await Training(book, 1.0).train()
    assert not book.series(("module.f",)).trained


@needs_drift
async def test_runs_from_before_a_change_are_forgotten():
    book = taught(200, lambda _size, number: 1.0 if number < 120 else 60.0, spread=0.1)
    assert await Training(book, 1.0).train() > 0
    assert len(book.series(("module.f",)).history) < 120


async def test_short_histories_start_no_process():
    assert await Training(taught(30, lambda *_: 1.0), 1.0).train() == 0


async def test_without_the_packages_nothing_is_waited_for():
    if is_possible():
        pytest.skip("a package is installed: it would go on for ever")
    await Training(taught(200, lambda *_: 1.0), 1.0).run()
