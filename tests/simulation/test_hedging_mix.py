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
    """Of each copy it is drawn anew how long it takes; here all late calls are nearly done when their copies begin."""
    jobs = hedging.mix(JOBS, 0.3, seed=7, slow=0.0)
    plain, hedged = (hedging.told(hedging.run(jobs, hedge=hedge)) for hedge in (False, True))
    assert hedged["copies"] < JOBS * 0.03
    assert hedged["hours of all attempts"] <= plain["hours of all attempts"] * 1.05
