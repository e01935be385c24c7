"""Calls of some ten milliseconds follow each other at once: the next one stands by shortly before an end."""

import pytest

from mcp_scheduler.core.slots import PATIENCE, STAND_BY, STAND_BY_LONGEST
from tests.core.builders import Stage, terms
from tests.core.test_placement_rounds import submit_many, taught

NAP = 0.05
MIDDLING = terms("module.middling")


def napping(count=4, seconds=NAP, cpus=1):
    stage = taught(Stage(cpus=cpus), seconds=seconds, asked=MIDDLING)
    submit_many(stage, count, MIDDLING)
    return stage


def test_the_next_call_stands_behind_one_that_is_about_to_end():
    stage = napping()
    assert stage.running == ["s0"]
    stage.wait(NAP - STAND_BY)
    assert stage.running == ["s0", "s1"]
    assert len(stage.cluster.slots) == 1
    assert stage.launched == ["s1.1"]


def test_the_engine_wakes_by_itself_for_it():
    stage = napping()
    due = stage.cluster.next_due()
    assert due is not None
    assert due - stage.now == pytest.approx(NAP - STAND_BY)


def test_no_call_stands_behind_one_that_goes_on_for_long_yet():
    stage = napping()
    stage.wait(NAP - 2 * STAND_BY)
    assert stage.running == ["s0"]


def test_one_alone_stands_by_and_so_does_the_next_when_it_has_become_the_first():
    stage = napping()
    stage.wait(NAP - STAND_BY)
    stage.wait(STAND_BY)
    assert stage.running == ["s0", "s1"]
    stage.end("s0", seconds=NAP)
    assert stage.running == ["s1"]
    stage.wait(NAP - STAND_BY)
    assert stage.running == ["s1", "s2"]


def test_who_stands_behind_one_that_does_not_end_is_called_back():
    stage = napping()
    stage.wait(NAP - STAND_BY)
    stage.wait(PATIENCE)
    assert stage.recalled == []  # the call that goes before it was expected to take as long as that
    stage.wait(2 * STAND_BY)
    assert stage.recalled == ["s0.1"]
    stage.give_back("s1")
    assert stage.running == ["s0"]


def test_a_free_place_is_taken_instead():
    stage = napping(count=1, cpus=2)
    stage.wait(NAP - STAND_BY)
    submit_many(stage, 1, MIDDLING, prefix="later")
    assert len(stage.cluster.slots) == 2


def test_nobody_stands_behind_a_call_of_seconds():
    seconds = 2 * STAND_BY_LONGEST
    stage = napping(seconds=seconds)
    stage.wait(seconds - STAND_BY)
    assert stage.running == ["s0"]


def test_where_nobody_waits_no_look_is_planned():
    stage = taught(Stage(cpus=1), seconds=NAP, asked=MIDDLING)
    submit_many(stage, 1, MIDDLING)
    due = stage.cluster.next_due()
    assert due is None or due - stage.now > 2 * NAP


def test_who_stood_behind_runs_since_the_one_before_has_ended_not_since_that_was_heard():
    stage = napping()
    stage.wait(NAP - STAND_BY)
    stage.wait(STAND_BY)
    end = stage.ended("s0", seconds=NAP)
    stage.wait(STAND_BY / 2)  # the commit before took so long
    stage.turn(end)
    due = stage.cluster.next_due()
    assert due is not None
    assert due == pytest.approx(end.at + NAP - STAND_BY)
