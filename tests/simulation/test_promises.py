"""Small editions of what benchmarks/promises.py measures."""

from benchmarks.promises import deadlines, fairness
from mcp_scheduler.simulation.samples import jain


def test_ten_times_the_load_gets_no_more_than_an_equal_share_of_device_seconds():
    served = fairness("fair_share", 1, 3000.0)
    assert sum(served.values()) > 0.95 * 4 * 3000.0  # saturated
    assert jain(list(served.values())) >= 0.99
    greedy = fairness("fifo", 1, 3000.0)
    assert jain(list(greedy.values())) < 0.8


def test_most_of_what_an_oracle_admits_is_admitted_and_little_of_it_is_late():
    found = deadlines("edf", 1, 900, 0.9, 0.3, warm_up=200)
    assert 0.5 * found.asked < len(found.wanted) < 0.98 * found.asked  # some are hopeless
    assert found.recall >= 0.9
    assert found.miss_ratio <= 0.05
