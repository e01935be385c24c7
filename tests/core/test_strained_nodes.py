"""A node whose memory is nearly full starts nothing more while anything runs there."""

from mcp_scheduler.core.events import LoadSeen
from mcp_scheduler.core.node import LOCAL
from mcp_scheduler.core.states import State
from tests.core.builders import Stage

FULL, FREE = LoadSeen(LOCAL, 50.0, 100.0, is_strained=True), LoadSeen(LOCAL, 50.0, 40.0)


def test_a_second_task_waits_until_the_memory_is_free_again():
    stage = Stage(2)
    stage.submit("a")
    stage.turn(FULL)
    stage.submit("b")
    assert stage.state("b") is State.QUEUED
    stage.turn(FREE)
    assert stage.state("b") is State.RUNNING


def test_where_nothing_runs_something_is_started_all_the_same():
    stage = Stage(2)
    stage.turn(FULL)
    stage.submit("a")
    stage.submit("b")
    assert stage.states("a b") == [State.RUNNING, State.QUEUED]
    stage.end("a")
    assert stage.state("b") is State.RUNNING
