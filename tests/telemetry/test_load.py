"""The host's load: what the kernel says, what the engine is told of it."""

from pathlib import Path

from mcp_scheduler.settings import Pool
from mcp_scheduler.telemetry.host import HostSensor
from mcp_scheduler.telemetry.pressure import pressures
from mcp_scheduler.telemetry.sampler import LoadSampler


class Sensor:
    def __init__(self, **load):
        self.now = load

    def load(self):
        return self.now


def test_pressure_is_read_where_there_is_any_and_passed_over_where_not(tmp_path):
    (tmp_path / "memory").write_text("some avg10=12.34 avg60=0.00 avg300=0.00 total=1\nfull avg10=1.00 total=1\n")
    (tmp_path / "cpu").write_text("")
    assert dict(pressures(tmp_path)) == {"memory_pressure": 12.34}
    assert dict(pressures(tmp_path / "nowhere")) == {}


def test_this_host_tells_its_processors_memory_and_disk():
    load = HostSensor(Pool(), Path()).load()
    assert {"cpu", "memory", "disk"} <= load.keys()
    assert all(0.0 <= value <= 100.0 for value in load.values())


def test_the_engine_is_told_of_changes_only():
    told, sensor = [], Sensor(cpu=10.0, memory=50.0)
    sampler = LoadSampler(sensor, told.append, 95.0)
    for memory in (50.0, 50.4, 97.0, 97.1, 60.0):
        sensor.now = {"cpu": 10.0, "memory": memory}
        sampler.look()
    assert [(one.memory, one.is_strained) for one in told] == [(50.0, False), (95.0, True), (60.0, False)]
    assert sampler.history()[1].values == (50.0, 50.4, 97.0, 97.1, 60.0)


def test_memory_that_fills_is_seen_a_minute_before_it_is_full():
    told, sensor = [], Sensor()
    sampler = LoadSampler(sensor, told.append, 95.0)
    for step in range(60):
        sensor.now = {"cpu": 10.0, "memory": 40.0 + step * 0.9}
        sampler.look()
        if told[-1].is_strained:
            break
    assert sensor.now["memory"] < 92.0


def test_processors_are_told_as_busy_as_they_were_of_late_and_what_comes_again_before_it_is_there():
    told, sensor = [], Sensor(memory=10.0)
    sampler = LoadSampler(sensor, told.append, 95.0)
    for cpu in (0.0, 0.0, 100.0):
        sensor.now = {"cpu": cpu}
        sampler.look()
    assert told[-1].cpu == 30.0, "one busy look is no busy host"
    for step in range(1200):  # every five minutes the host is busy for one
        sensor.now = {"cpu": 90.0 if step % 60 < 12 else 10.0}
        sampler.look()
    seen = []
    for step in range(1200, 1260):
        sensor.now = {"cpu": 90.0 if step % 60 < 12 else 10.0}
        sampler.look()
        seen.append(told[-1].cpu)
    assert max(seen[30:45]) <= 30.0
    assert min(seen[54:]) >= 70.0, "it comes in less than a minute"


def test_latency_is_what_the_kernel_tells_of_waiting_for_processors_and_how_late_a_look_comes():
    told, sensor = [], Sensor(cpu=50.0)
    sampler = LoadSampler(sensor, told.append, 95.0)
    sampler.look()
    assert told[-1].latency == 0.0
    for _ in range(20):
        sampler.look(late=0.1)
    assert told[-1].latency == 50.0
    sensor.now = {"cpu": 50.0, "cpu_pressure": 80.0}
    for _ in range(20):
        sampler.look(late=5.0)
    assert told[-1].latency == 100.0
    for _ in range(20):
        sampler.look()
    assert told[-1].latency == 80.0
