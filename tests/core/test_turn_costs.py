"""What the end of a turn costs: it looks at few of the many who wait, and who could use the turn is still found."""

import pytest

from mcp_scheduler.core.placement import LOOK
from mcp_scheduler.core.yielding import TRIES
from tests.core.builders import needs, terms
from tests.core.slicing_stage import GIB, Slicing, command

MANY = 200


def looks(stage):
    """At how many heads the round that has just been looked, as far as they found no room."""
    return round((stage.cluster.thorough_at - stage.now) / LOOK)


def shape(number, cpus=1, **amounts):
    """Needs that nobody else has."""
    return command(cpus, amounts={"memory": number + 1, **amounts})


def after_a_turn(first, **options):
    """The first has had its turn, and many wait, no two of them alike."""
    stage = Slicing(memory=GIB)
    stage.submit("a", first, **options)
    for number in range(MANY):
        stage.submit(f"b{number}", shape(number))
    stage.wait(10)
    return stage


def test_who_makes_way_for_the_first_that_waits_has_the_round_end_there():
    stage = after_a_turn(command())
    assert stage.launched == ["b0.1"]
    assert looks(stage) <= 2


def test_a_function_that_was_asked_has_the_round_end_there():
    stage = after_a_turn(terms("f"))
    assert stage.paused == ["a"]
    assert looks(stage) <= 2


def test_where_nobody_would_make_way_the_round_looks_at_nobody_else():
    stage = after_a_turn(command(), priority=50)
    assert not stage.paused
    assert looks(stage) <= 1


def test_wide_ones_that_find_too_few_to_make_way_are_not_all_tried():
    stage = Slicing(2, memory=GIB)
    stage.submit("high", command(), priority=50)
    stage.submit("low", command())
    for number in range(MANY):
        stage.submit(f"wide{number}", shape(number, 2))
    stage.wait(10)
    assert not stage.paused
    assert looks(stage) <= TRIES + 1


@pytest.mark.parametrize("ahead", [1, 3 * TRIES])
def test_those_who_lack_something_else_as_well_keep_nobody_behind_them_from_a_turn(ahead):
    stage = Slicing(2, memory=GIB, licence=1)
    stage.submit("holder", command(amounts={"licence": 1}), priority=50)
    stage.submit("a", command())
    for number in range(ahead):
        stage.submit(f"b{number}", shape(number, licence=1))
    stage.submit("c", command())
    stage.wait(10)
    assert stage.paused == ["a"]
    assert "c.1" in stage.launched


def test_memory_that_nobody_can_give_back_keeps_nobody_from_a_turn():
    stage = Slicing(2, memory=GIB)
    stage.submit("holder", command(amounts={"memory": GIB - 1}), priority=50)
    stage.submit("a", terms("f", needs=needs(1)))
    for number in range(3 * TRIES):
        stage.submit(f"b{number}", shape(number + 1))
    stage.submit("c", command())
    stage.wait(10)
    assert stage.paused == ["a"]
