"""What hedging is for: a mix with 2 % attempts that take ten times as long, through the real decision."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import hedging

JOBS = 1000


@pytest.mark.parametrize("load", [0.3, 0.6])
def test_copies_cut_the_slowest_hundredth_by_half_for_at_most_a_twentieth_of_the_time(load):
    jobs = hedging.mix(JOBS, load, seed=7)
    plain, hedged = (hedging.told(hedging.run(jobs, hedge=hedge)) for hedge in (False, True))
    assert hedged["p99"] < plain["p99"] / 2
    assert hedged["% of the time copied"] <= 5.0
    assert hedged["hours of all attempts"] <= plain["hours of all attempts"] * 1.05


def test_where_nothing_is_slow_by_chance_hedging_stops():
    """Late calls are nearly done here when their copies begin. Without the stop one in twenty would have a copy."""
    found = hedging.told(hedging.run(hedging.mix(3 * JOBS, 0.3, seed=7, slow=0.0), hedge=True))
    assert 50 <= found["copies"] < 75
    assert found["% of the time copied"] < 1.0
