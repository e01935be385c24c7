"""The energy of a plan: what is kept ready, and what works."""

import pytest

from mcp_scheduler.core.energy import Use, joules, peak


def test_what_works_draws_more_than_what_is_ready():
    """Two CPUs are ready for 10 s, one of them works for 5 s less."""
    assert joules([Use(0, 10, 1), Use(0, 5, 1)], idle=3, work=12) == 15 * 12 + 5 * 3


def test_fewer_at_a_time_are_ready_for_longer_without_being_without_work():
    wide = [Use(0, 10, 1), Use(0, 2, 1)]
    narrow = [Use(0, 10, 1), Use(10, 12, 1)]
    assert joules(narrow, 3, 12) == 12 * 12
    assert joules(wide, 3, 12) == joules(narrow, 3, 12) + 8 * 3


def test_a_part_of_a_device_keeps_all_of_it_ready():
    assert joules([Use(4, 8, 0.25)], idle=50, work=300, ready=1.0) == pytest.approx(4 * 50 + 250)


def test_nothing_before_the_first_and_after_the_last_is_counted():
    assert joules([Use(100, 101, 1)], 3, 12) == joules([Use(0, 1, 1)], 3, 12) == 12
    assert joules([Use(5, 5, 1), Use(0, 9, 0)], 3, 12) == 0


def test_an_end_makes_room_for_a_start_at_the_same_moment():
    assert peak([Use(0, 1, 2), Use(1, 2, 2), Use(1.5, 3, 1)]) == 3
