"""How busy a node is, and that of several the least busy one is taken."""

import pytest

from mcp_scheduler.core.events import LoadSeen, NodeChanged
from mcp_scheduler.core.load import load_of
from mcp_scheduler.core.node import LOCAL, Node
from mcp_scheduler.core.scoring import weight
from tests.core.builders import Stage, needs


@pytest.fixture
def two():
    """Two nodes of four CPUs: this host, and another."""
    stage = Stage(4)
    stage.turn(NodeChanged(Node("other", needs(4).amounts)))
    return stage


@pytest.mark.parametrize(
    ("cpu", "latency", "expected"),
    [(0.0, 0.0, 0.0), (100.0, 0.0, 0.6), (0.0, 100.0, 0.4), (50.0, 25.0, 0.4), (300.0, -5.0, 0.6)],
)
def test_the_load_is_six_tenths_processors_and_four_tenths_latency(cpu, latency, expected):
    assert load_of(cpu, latency) == pytest.approx(expected)


def node_of(stage, name):
    return next(attempt.node for attempt in stage.cluster.attempts.values() if attempt.id.task == name)


def test_the_node_whose_processors_are_less_busy_is_taken(two):
    two.turn(LoadSeen(LOCAL, 80.0, 0.0), LoadSeen("other", 10.0, 0.0))
    two.submit("a")
    assert node_of(two, "a") == "other"
    two.turn(LoadSeen(LOCAL, 10.0, 0.0), LoadSeen("other", 80.0, 0.0))
    two.submit("b")
    assert node_of(two, "b") == LOCAL


def test_of_nodes_that_are_as_busy_the_one_that_answers_sooner_is_taken(two):
    two.turn(LoadSeen(LOCAL, 40.0, 0.0, latency=90.0), LoadSeen("other", 40.0, 0.0, latency=10.0))
    two.submit("a")
    assert node_of(two, "a") == "other"
    assert weight(two.cluster.rooms[LOCAL]) == pytest.approx(100 - 24 - 36)
