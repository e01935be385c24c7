"""The adaptive policy follows a clear winner of both halves of the past, and nobody else."""

from mcp_scheduler.core.policy import Sharing
from mcp_scheduler.policies.adaptive import Adaptive, Measured, choose
from mcp_scheduler.policies.order import FAIR_SHARE, FIFO


def measures(**slowdowns):
    return {name: Measured(slowdown, 100.0) for name, slowdown in slowdowns.items()}


def test_a_clear_winner_on_both_halves_is_followed():
    name, why = choose("fifo", measures(fifo=2.0, shortest=1.5), measures(fifo=2.0, shortest=1.6))
    assert name == "shortest"
    assert "39% less than by fifo" in why
    assert "33% less" in why


def test_a_narrow_winner_is_not():
    name, why = choose("fifo", measures(fifo=2.0, shortest=1.97), measures(fifo=2.0, shortest=1.0))
    assert name == "fifo"
    assert "no other policy was better by more than 5%" in why


def test_a_winner_on_one_half_alone_is_chance():
    name, why = choose("fifo", measures(fifo=2.0, shortest=1.5), measures(fifo=2.0, shortest=1.99))
    assert name == "fifo"
    assert "but not on the other" in why


def test_one_that_misses_deadlines_or_lets_somebody_wait_much_longer_is_no_candidate():
    good = Measured(2.0, 100.0)
    for bad in (Measured(1.0, 100.0, missed=1), Measured(1.0, 201.0)):
        assert choose("fifo", {"fifo": good, "shortest": bad}, {"fifo": good, "shortest": bad})[0] == "fifo"


def test_it_orders_as_the_one_that_it_follows():
    adaptive = Adaptive(FAIR_SHARE, "because")
    assert adaptive.sharing is Sharing.USAGE
    assert Adaptive(FIFO).sharing is Sharing.NONE
    assert adaptive.name == "adaptive"
