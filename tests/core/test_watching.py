"""Whoever looks for the unusual hears of ends and devices, and changes nothing."""

from test_device_rounds import ONE, GpuStage, gpu, on_gpus

from mcp_scheduler.core.decide import decide
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.forecast.anomalies import IDLE, Anomalies
from mcp_scheduler.forecast.durations import Durations
from mcp_scheduler.service.alerts import alerts_of
from tests.core.builders import Stage, terms


def alerts(stage):
    return list(alerts_of(stage.cluster, stage.now))


def run(stage, seconds=None, reason=None):
    name = f"t{stage.cluster.next_seq}"
    stage.submit(name, terms("m.f"))
    stage.now += seconds or 1.0
    stage.end(name, reason, seconds=seconds or 1.0)


def test_failures_in_a_row_are_an_alert_and_tasks_go_on():
    stage = Stage(2)
    stage.cluster.watcher = Anomalies()
    for _ in range(4):
        run(stage, reason=Reason.ERROR)
    assert [told[:49] for told in alerts(stage)] == ["4 of the last 4 calls of m.f ended badly; usually"]
    run(stage)
    assert stage.state("t5") is State.SUCCEEDED


def test_calls_that_take_longer_than_was_expected_are_an_alert():
    stage = Stage(2)
    stage.cluster.watcher = Anomalies()
    stage.cluster.forecasts = Durations()
    for _ in range(30):
        run(stage, 1.0)
    assert alerts(stage) == []
    for _ in range(4):
        run(stage, 5.0)
    assert any(told.startswith("m.f has become slow") for told in alerts(stage))


def test_what_was_cancelled_is_no_failure():
    stage = Stage(2)
    stage.cluster.watcher = Anomalies()
    for _ in range(6):
        name = f"t{stage.cluster.next_seq}"
        stage.submit(name)
        stage.cancel(name)
        stage.end(name, Reason.CANCELLED)
    assert alerts(stage) == []


def test_a_call_that_should_have_ended_long_ago_is_an_alert_while_it_runs():
    stage = Stage(2)
    for _ in range(3):
        run(stage, 20.0)
    stage.submit("slow", terms("m.f"))
    stage.wait(59.0)
    assert alerts(stage) == []
    stage.wait(2.0)
    assert alerts(stage) == [
        "slow has run for 61 s; nine of ten such calls end within 20 s. Look at its output, or cancel it."
    ]
    stage.end("slow")
    assert alerts(stage) == []


def test_alerts_can_be_asked_for_while_an_end_is_being_stored():
    stage = Stage(1)
    stage.submit("a")
    decide(stage.cluster, [stage.ended("a")], stage.now)  # durable in a moment; its place is free already
    assert alerts(stage) == []


def test_a_gpu_that_idles_under_its_task_is_an_alert():
    stage = GpuStage(gpu(0, utilisation=0))
    stage.cluster.watcher = Anomalies()
    stage.submit("a", on_gpus(ONE))
    stage.see(gpu(0, utilisation=0))
    stage.now += IDLE
    assert alerts(stage) == ["gpu0 is reserved by a, and has done nothing for 10 minutes."]
    stage.end("a")
    stage.see(gpu(0, utilisation=0))
    assert alerts(stage) == []


def test_alerts_are_told_while_the_end_of_a_task_is_being_written():
    stage = Stage(2)
    stage.submit("a")
    decision = decide(stage.cluster, [stage.ended("a")], stage.now)
    assert list(stage.cluster.attempts), "the end is decided and not yet on disk"
    assert alerts(stage) == []
    stage.cluster.apply(decision.changes)
    assert stage.state("a") is State.SUCCEEDED
