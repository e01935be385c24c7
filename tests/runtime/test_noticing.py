"""Progress and the host's load reach whoever looks for the unusual."""

import pytest

from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import LOCAL
from mcp_scheduler.forecast.anomalies import Anomalies
from mcp_scheduler.ports import Progress
from mcp_scheduler.runtime.noticing import Noticing
from tests.core.builders import Stage, needs, terms


class Clock:
    def __init__(self):
        self.time = 0.0

    def now(self):
        return self.time


@pytest.fixture
def scene():
    stage, anomalies, clock = Stage(4), Anomalies(), Clock()
    return stage, anomalies, clock, Noticing(stage.cluster, anomalies, clock)


def test_a_task_that_stops_to_tell_of_progress_is_noticed_until_its_attempt_has_ended(scene):
    stage, anomalies, clock, noticing = scene
    stage.submit("a")
    for step in range(4):
        clock.time = 2.0 * step
        noticing.progressed(Progress(AttemptId("a", 1), step / 10, "", clock.time))
    assert not list(anomalies.alerts(60.0))
    assert [told[:24] for told in anomalies.alerts(67.0)] == ["a seems to be stuck: its"]
    noticing.committed(stage.end("a").changes)
    assert not list(anomalies.alerts(67.0))


def test_what_tasks_have_reserved_is_not_put_down_to_others(scene):
    stage, anomalies, clock, noticing = scene
    for _ in range(30):
        noticing.loaded({"cpu": 5.0, "memory": 5.0})
    stage.submit("a", terms(needs=needs(4)))
    for _ in range(60):
        noticing.loaded({"cpu": 100.0, "memory": 5.0})
    assert not list(anomalies.alerts(clock.time))
    stage.end("a")
    for _ in range(60):
        noticing.loaded({"cpu": 100.0, "memory": 5.0})
    (told,) = anomalies.alerts(clock.time)
    assert told == f"Other programs take about 79 % of the cpu of {LOCAL}; before it was 2 %."
