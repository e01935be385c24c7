"""The pool grows while tasks wait and the host has room, and shrinks when nobody waits or the host is busy."""

import pytest

from mcp_scheduler.forecast.elastic import TO_SHRINK, Elastic, score

IDLE, BUSY = 20.0, 95.0
WAITING, NOBODY = 0.5, 0.0


@pytest.mark.parametrize(
    ("waiting", "cpu", "errors", "wanted"),
    [
        (WAITING, IDLE, 0.0, 1.0),
        (WAITING, IDLE, 20.0, 0.8),
        (WAITING, BUSY, 0.0, 0.4),
        (WAITING, BUSY, 20.0, 0.2),
        (NOBODY, IDLE, 0.0, -0.2),
        (NOBODY, IDLE, 20.0, -0.4),
        (NOBODY, BUSY, 0.0, -0.8),
        (NOBODY, BUSY, 20.0, -1.0),
        (0.2, 85.0, 5.0, -0.2),
    ],
)
def test_the_votes_are_weighted_by_the_thresholds(waiting, cpu, errors, wanted):
    assert score(waiting, cpu, errors) == pytest.approx(wanted)


def looks(pool, count, waiting, cpu):
    return [pool.look(waiting, cpu) for _ in range(count)]


def test_it_begins_small_and_grows_step_by_step_to_the_most():
    pool = Elastic(2000, 8000)
    sizes = looks(pool, 16, WAITING, IDLE)
    assert sizes[:5] == [2000, 3000, 3000, 4000, 4000]
    assert max(sizes) == sizes[-1] == 8000


def test_it_shrinks_slowly_to_the_least():
    pool = Elastic(2000, 8000)
    looks(pool, 16, WAITING, IDLE)
    sizes = looks(pool, 40, NOBODY, IDLE)
    assert sizes[TO_SHRINK - 2 : TO_SHRINK] == [8000, 6000]
    assert min(sizes) == sizes[-1] == 2000


def test_a_busy_host_is_not_given_more_though_tasks_wait():
    pool = Elastic(2000, 8000)
    assert set(looks(pool, 50, WAITING, BUSY)) == {2000}


def test_signals_that_change_at_every_look_move_nothing():
    pool = Elastic(2000, 8000)
    for _ in range(30):
        assert pool.look(WAITING, IDLE) == 2000
        assert pool.look(NOBODY, IDLE) == 2000


def test_errors_are_those_of_late():
    pool = Elastic(1000, 2000)
    for _ in range(100):
        pool.ended(bad=True)
    assert pool.errors > 90.0
    for _ in range(100):
        pool.ended(bad=False)
    assert pool.errors < 5.0


def test_a_least_above_the_most_is_the_most():
    assert Elastic(9000, 4000).offered == 4000
