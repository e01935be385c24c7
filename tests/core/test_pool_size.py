"""A node that offers fewer CPUs than it has, while anything runs there."""

import pytest

from mcp_scheduler.core.events import PoolSized, Submitted
from mcp_scheduler.core.node import LOCAL
from mcp_scheduler.core.states import State
from mcp_scheduler.runtime.pooling import Pooling
from mcp_scheduler.service.alerts import pool_of
from tests.core.builders import Stage, needs, terms


def sized(cpus, limit):
    stage = Stage(cpus)
    stage.turn(PoolSized(LOCAL, limit * 1000, "wished"))
    return stage


def test_no_more_is_started_than_the_pool_offers():
    stage = sized(4, 2)
    stage.turn(Submitted([stage.new(f"t{number}") for number in range(4)]))
    assert stage.running == ["t0", "t1"]
    stage.end("t0")
    assert stage.running == ["t1", "t2"]
    stage.turn(PoolSized(LOCAL, 3000, "grown"))
    assert stage.running == ["t1", "t2", "t3"]


def test_what_runs_goes_on_when_the_pool_shrinks():
    stage = Stage(4)
    stage.turn(Submitted([stage.new(f"t{number}") for number in range(5)]))
    stage.turn(PoolSized(LOCAL, 1000, "shrunk"))
    assert len(stage.running) == 4
    assert not stage.stopped
    stage.end("t0")
    assert stage.running == ["t1", "t2", "t3"]


def test_what_needs_no_cpus_is_not_limited():
    stage = sized(4, 1)
    stage.turn(Submitted([stage.new("a"), stage.new("b", terms(needs=needs(0)))]))
    assert stage.running == ["a", "b"]


def test_a_task_that_needs_more_than_the_pool_offers_has_its_turn_though_small_ones_keep_coming():
    stage = sized(4, 2)
    stage.submit("s0")
    stage.submit("large", terms("m.large", needs=needs(3)))
    for number in range(1, 400):
        stage.turn(Submitted([stage.new(f"s{number}")]))
        stage.wait(1.0)
        if stage.state("large") is State.RUNNING:
            break
        stage.end(stage.running[0], seconds=2.0)
    assert stage.state("large") is State.RUNNING


class Clock:
    def __init__(self, stage):
        self.stage = stage

    def now(self):
        return self.stage.now


@pytest.fixture
def breathing():
    """A stage of four CPUs whose pool offers one at least, and who looks at it every five seconds."""
    stage = Stage(4)
    events = []
    pooling = Pooling(stage.cluster, 1.0, events.append, Clock(stage))

    def look(cpu, count=1):
        for _ in range(count):
            stage.now += 5.0
            pooling.loaded({"cpu": cpu})
            stage.turn(*events)
            pooling.committed(stage.decision.changes)
            events.clear()
        return stage.cluster.rooms[LOCAL].limit

    return stage, look


def test_the_pool_grows_while_tasks_wait_and_shrinks_when_they_are_done(breathing):
    stage, look = breathing
    assert look(10.0) == 1000
    stage.turn(Submitted([stage.new(f"t{number}") for number in range(8)]))
    assert len(stage.running) == 1
    look(30.0, 20)
    assert len(stage.running) == 4
    while stage.running:
        stage.end(stage.running[0])
    assert look(10.0, 40) == 1000
    assert pool_of(stage.cluster.rooms[LOCAL]) == ("offers 1 of 4 cpus now: tasks waited 0.0 s, CPU 10 %, errors 0 %")


def test_a_busy_host_keeps_the_pool_small(breathing):
    stage, look = breathing
    look(10.0)
    stage.turn(Submitted([stage.new(f"t{number}") for number in range(8)]))
    look(95.0, 20)
    assert len(stage.running) == 1
