"""How many items of a function the next map puts into a chunk."""

from dataclasses import replace

import pytest

from mcp_scheduler.core.chunking import Chunking
from mcp_scheduler.core.states import Reason
from tests.core.builders import Stage, terms


def test_the_first_chunk_says_what_an_item_takes():
    chunking = Chunking()
    chunking.learn("m.f x 500", 1.0)
    assert chunking.seconds("m.f") == pytest.approx(0.002)
    assert chunking.seconds("m.g") is None


def test_a_quick_chunk_makes_the_next_a_tenth_larger_and_a_slow_one_a_tenth_smaller():
    chunking = Chunking()
    chunking.learn("m.f x 100", 1.0)
    chunking.learn("m.f x 100", 0.1)
    assert 1.0 / chunking.seconds("m.f") == pytest.approx(110)
    chunking.learn("m.f x 100", 50.0)
    assert 1.0 / chunking.seconds("m.f") == pytest.approx(99)


def test_a_guess_that_is_ten_times_too_long_is_mended_by_25_chunks():
    chunking = Chunking()
    chunking.learn("m.f x 10", 0.1)
    for _ in range(25):
        chunking.learn("m.f x 50", 0.05)
    assert chunking.seconds("m.f") == pytest.approx(0.001, rel=0.1)


def test_it_remembers_a_bounded_number_of_functions_and_says_which_it_forgot():
    chunking = Chunking()
    for number in range(5000):
        chunking.learn(f"m.f{number} x 10", 1.0)
    assert chunking.seconds("m.f0") is None
    assert chunking.row(("m.f0",)) is None
    assert ("m.f0",) in chunking.touched
    assert chunking.seconds("m.f4999") == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("target", "seconds", "reason", "failures", "each"),
    [
        ("m.f x 10", 1.0, None, 0, 0.1),
        ("m.f", 1.0, None, 0, None),
        ("m.f x y", 1.0, None, 0, None),
        ("m.f x 10", 1.0, Reason.ERROR, 0, None),
        ("m.f x 10", 1.0, None, 1, None),  # the first attempt may have done nine of the ten
    ],
)
def test_only_a_chunk_that_did_all_of_its_items_itself_says_so(target, seconds, reason, failures, each):
    stage = Stage(2)
    stage.submit("a", replace(terms(), target=target))
    stage.cluster.tasks["a"].status.failures = failures
    stage.end("a", reason, seconds=seconds)
    assert stage.cluster.chunking.seconds("m.f") == (None if each is None else pytest.approx(each))


def test_all_parts_of_a_chunk_count():
    stage = Stage(2)
    stage.submit("a", replace(terms(), target="m.f x 10"))
    stage.end("a", Reason.YIELDED, seconds=3.0)
    stage.end("a", seconds=1.0)
    assert stage.cluster.chunking.seconds("m.f") == pytest.approx(0.4)
