"""Forecasts: which guess is taken, what the bound promises, what is kept."""

from math import exp, log
from random import Random

import pytest

from mcp_scheduler.forecast.book import KEYS, Book
from mcp_scheduler.forecast.history import LENGTH, History


def taught(*runs, name="f", device="", **options):
    book = Book()
    for size, seconds in runs:
        book.learn(name, device, size, seconds, **options)
    return book


def test_nothing_is_said_of_what_nobody_has_seen():
    assert Book().predict("f", "", 0) is None


def test_one_run_is_the_forecast_and_its_bound_is_far_above():
    found = taught((10, 5.0)).predict("f", "", 10)
    assert found.median == pytest.approx(5.0)
    assert found.upper == pytest.approx(20.0)


def test_time_that_grows_with_the_input_is_seen_beyond_the_sizes_that_were_tried():
    book = taught(*((size, 2.0 ** (size / 2) * 1e-3) for size in range(10, 20) for _ in range(4)))
    assert book.predict("f", "", 22).median == pytest.approx(2.0**11 * 1e-3, rel=0.1)
    assert book.series(("f",)).method == "linear"


def test_steps_that_no_line_follows_are_told_by_neighbours():
    random = Random(3)
    book = Book()
    for _ in range(200):
        size = random.randrange(0, 4) * 10
        book.learn("f", "", size, {0: 1.0, 10: 500.0, 20: 2.0, 30: 90.0}[size] * random.lognormvariate(0, 0.05))
    assert book.predict("f", "", 10).median == pytest.approx(500.0, rel=0.1)
    assert book.series(("f",)).method == "nearest"


def test_a_change_of_pace_is_followed_within_a_dozen_runs():
    book = taught(*[(10, 100.0)] * 100, *[(10, 1.0)] * 12)
    assert book.predict("f", "", 10).median == pytest.approx(1.0, rel=0.05)


def test_device_classes_are_told_apart_and_one_that_is_new_borrows():
    book = Book()
    for _ in range(40):
        book.learn("f", "h100", 10, 1.0)
        book.learn("f", "t4", 10, 9.0)
    assert book.predict("f", "h100", 10).median == pytest.approx(1.0, rel=0.01)
    assert book.predict("f", "t4", 10).median == pytest.approx(9.0, rel=0.01)
    assert 1.0 <= book.predict("f", "a100", 10).median <= 9.0


def test_a_new_function_begins_with_what_everything_takes():
    assert taught(*[(10, 4.0)] * 30).predict("another", "", 10).median == pytest.approx(4.0)


@pytest.mark.parametrize("spread", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nine_of_ten_runs_stay_within_the_bound_however_they_scatter(spread, seed):
    random, book = Random(seed), Book()
    for _ in range(2000):
        size = random.randrange(10, 30)
        book.learn("f", "", size, 2.0 ** (size * 0.4) * random.lognormvariate(0, spread))
    score = book.series(()).score
    assert score.predictions == 1999
    assert 0.88 <= score.coverage <= 0.92


def test_the_bound_follows_when_runs_become_slower_and_slower():
    random, book = Random(5), Book()
    for number in range(2000):
        book.learn("f", "", 10, exp(number / 300) * random.lognormvariate(0, 0.3))
    assert 0.88 <= book.series(()).score.coverage <= 0.92


def test_runs_that_were_cut_short_raise_the_forecast_instead_of_vanishing():
    plain, censored = Book(), Book()
    for _ in range(30):
        for seconds in (1.0, 1.0, 10.0):
            plain.learn("f", "", 10, seconds)
        for seconds in (1.0, 1.0, None):  # what would take 10 s is ended after 2
            censored.learn("f", "", 10, seconds or 2.0, at_least=seconds is None)
    assert censored.predict("f", "", 10).upper > 2.0
    assert censored.series(("f",)).history.runs[-1][1] >= log(4.0) - 1e-9


def test_a_run_that_was_ended_before_its_bound_is_no_judgement_and_one_beyond_it_is_a_miss():
    book = taught(*[(10, 1.0)] * 50)
    before = book.series(()).score.predictions
    book.learn("f", "", 10, 0.5, at_least=True)
    assert book.series(()).score.predictions == before
    book.learn("f", "", 10, 100.0, at_least=True)
    assert (book.series(()).score.predictions, book.series(()).score.covered) == (before + 1, before)


def test_memory_is_bounded_by_keys_and_by_runs():
    book = Book()
    for number in range(3 * KEYS):
        book.learn(f"f{number}", "", 10, 1.0)
    for _ in range(2 * LENGTH):
        book.learn("f", "", 10, 1.0)
    assert len(book) == KEYS
    assert len(book.series(("f",)).history) == LENGTH


def test_what_is_loaded_predicts_as_what_was_kept():
    random, book, heir = Random(1), Book(), Book()
    for _ in range(150):
        book.learn("f", "h100", random.randrange(10, 20), random.lognormvariate(1, 1))
    while changed := book.changes(2):
        for key, text in changed.items():
            heir.load(key, text)
    for size in range(10, 20):
        assert heir.predict("f", "h100", size) == pytest.approx(book.predict("f", "h100", size), rel=1e-3)
    assert heir.series(()).score.coverage == book.series(()).score.coverage


def test_what_is_forgotten_is_told_once():
    book = taught((10, 1.0))
    while book.changes(10):
        pass
    for number in range(KEYS):
        book.learn(f"g{number}", "", 10, 1.0)
    told = {}
    while changed := book.changes(100):
        told |= changed
    assert told["f",] is None


def test_after_a_forgetting_only_the_last_runs_count():
    book = taught(*[(10, 100.0)] * 50, *[(10, 1.0)] * 5)
    book.forget(("f",), 5)
    assert {round(value, 6) for _, value in book.series(("f",)).history.runs} == {0.0}


def test_running_sums_stay_true_over_many_evictions():
    random, history = Random(2), History()
    for _ in range(5000):
        history.add(random.randrange(0, 60), random.gauss(0, 3))
    fresh = History()
    for size, value in history.runs:
        fresh.add(size, value)
    for size in (0, 15, 33, 59, 80):
        assert history.linear(size) == pytest.approx(fresh.linear(size), abs=1e-9)
        assert history.nearest(size) == fresh.nearest(size)
    assert history.recent() == fresh.recent()
