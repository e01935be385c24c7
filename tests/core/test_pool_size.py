"""A node that offers fewer CPUs than it has, while anything runs there."""

import re
from dataclasses import replace

import pytest

from mcp_scheduler.core.events import PolicyChosen, PoolSized, Submitted
from mcp_scheduler.core.node import LOCAL
from mcp_scheduler.core.states import State
from mcp_scheduler.policies.catalogue import BUILT_IN
from mcp_scheduler.policies.guarded import Guarded
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


def looked_at(stage, least_cpus):
    """The stage, and a look at its host after five more seconds: its CPU and perhaps its pressure, so many times."""
    events = []
    stage.soon = {}
    pooling = Pooling(stage.cluster, least_cpus, events.append, Clock(stage), lambda: stage.soon)

    def look(cpu, count=1, **pressure):
        for _ in range(count):
            stage.now += 5.0
            pooling.loaded({"cpu": cpu, **pressure})
            stage.turn(*events)
            pooling.committed(stage.decision.changes)
            events.clear()
        return stage.cluster.rooms[LOCAL].limit

    return stage, look


@pytest.fixture
def breathing():
    """A stage of four CPUs whose pool offers one at least, and who looks at it every five seconds."""
    return looked_at(Stage(4), 1.0)


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


# --- beside other programs


@pytest.fixture
def courteous():
    """A stage of four CPUs under `load_aware`, and a look at what the host does: CPU, perhaps its pressure."""
    return looked_at(Stage(4, policy=BUILT_IN["load_aware"]), None)


def test_what_others_leave_of_an_overloaded_host_is_offered_and_heavy_work_waits_for_more(courteous):
    stage, look = courteous
    assert look(90.0) == 0, "one look is no load"
    look(90.0, 20)
    assert look(75.0, 20) == 1000
    stage.turn(Submitted([stage.new("heavy", terms("m.heavy", needs=needs(3)))]))
    assert stage.running == ["heavy"], "where nothing runs nobody is held back"
    stage.end("heavy")
    stage.submit("light")
    stage.submit("heavy2", terms("m.heavy", needs=needs(2)))
    assert stage.running == ["light"]
    assert re.fullmatch(
        r"offers 1 of 4 cpus now: other programs take [67]\d % of the CPUs, which are 90 % busy; who has waited"
        " 5 minutes starts all the same",
        pool_of(stage.cluster.rooms[LOCAL]),
    )


def test_it_is_over_when_the_others_are_gone(courteous):
    stage, look = courteous
    look(95.0, 20)
    stage.submit("light")
    stage.submit("heavy", terms("m.heavy", needs=needs(2)))
    assert stage.running == ["light"]
    look(20.0, 12)
    assert stage.running == ["light", "heavy"]
    assert stage.cluster.rooms[LOCAL].limit == 0


def test_nobody_is_held_back_for_longer_than_five_minutes_however_busy_the_host_is(courteous):
    stage, look = courteous
    look(100.0, 20)
    stage.submit("light")
    stage.turn(Submitted([stage.new(f"heavy{number}", terms("m.heavy", needs=needs(1.5))) for number in range(2)]))
    since = stage.now
    while len(stage.running) < 3 and stage.now < since + 1000:
        look(100.0)
    assert 300 <= stage.now - since <= 310


def test_what_tasks_have_reserved_is_not_others(courteous):
    stage, look = courteous
    stage.turn(Submitted([stage.new(f"t{number}") for number in range(8)]))
    assert look(100.0, 20) == 0
    assert len(stage.running) == 4


def test_what_will_be_overloaded_is_held_back_before_it_is(courteous):
    stage, look = courteous
    stage.soon["cpu"] = 95.0
    assert look(40.0, 20) == 1000
    told = pool_of(stage.cluster.rooms[LOCAL])
    assert re.search(r"other programs will soon take \d+ % of the CPUs, which are 40 % busy;", told)
    stage.soon["cpu"] = 30.0
    assert look(40.0, 20) == 0


def test_a_policy_of_another_package_is_courteous_if_it_says_so():
    policy = replace(BUILT_IN["fifo"], name="polite", courteous=True)
    _, look = looked_at(Stage(4, policy=Guarded(policy)), None)
    assert look(100.0, 20) == 1000
    _, look = looked_at(Stage(4, policy=Guarded(replace(policy, courteous=False))), None)
    assert look(100.0, 20) == 0


def test_pressure_tells_of_overload_where_the_kernel_says_it(courteous):
    _, look = courteous
    assert look(60.0, 20, cpu_pressure=0.0) == 0
    assert look(60.0, 20, cpu_pressure=40.0) == 1500


def test_other_policies_offer_everything(courteous):
    stage, look = courteous
    assert look(100.0, 20) == 1000
    stage.turn(PolicyChosen(BUILT_IN["balanced"]))
    assert look(100.0, 20) == 0


def test_a_pool_that_breathes_offers_the_smaller_of_the_two():
    stage, events = Stage(4, policy=BUILT_IN["load_aware"]), []
    pooling = Pooling(stage.cluster, 3.0, events.append, Clock(stage))
    for _ in range(20):
        pooling.loaded({"cpu": 100.0})
        stage.turn(*events)
        events.clear()
    assert stage.cluster.rooms[LOCAL].limit == 1000
