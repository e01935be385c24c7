"""Sensors over a machine that the tests can change."""

import sys
import threading
from pathlib import Path

import pytest

from mcp_scheduler.telemetry.gpu import GpuSensor

sys.path.insert(0, str(Path(__file__).parents[1] / "fakes" / "nvml"))  # other rooms use the stand-in too

from fake_nvml import nvml_library, scenario

__all__ = ["nvml_library", "scenario"]

LIMIT = 20.0


class Watched:
    """A running sensor, and a way to wait until it sees something."""

    def __init__(self, **options):
        self._news = threading.Condition()
        self.sensor = GpuSensor(
            **{
                "interval": 0.01,
                "busy_interval": 0.01,
                "shares": (1.0, 1.0),
                "patience": LIMIT,
                "retry": (0.01, 0.04),
                "on_snapshot": self._hear,
                **options,
            }
        )
        self.sensor.start()

    def _hear(self, snapshot):
        with self._news:
            self._news.notify_all()

    def until(self, wanted):
        """The first snapshot that is wanted."""
        found = []

        def look():
            snapshot = self.sensor.snapshot()
            found[:] = [snapshot]
            return wanted(snapshot)

        with self._news:
            for _ in range(int(LIMIT / 0.05)):
                if look() or (self._news.wait(0.05) and look()):
                    return found[0]
        pytest.fail(f"Not seen: the last snapshot was {found}")

    def first(self):
        """The first look's snapshot."""
        return self.until(lambda snapshot: snapshot.at > 0)


@pytest.fixture
def watch(scenario):
    """Start a sensor with these options; it is ended with the test, whatever hangs."""
    started = []

    def start(**options):
        started.append(Watched(**options))
        return started[-1]

    yield start
    scenario.go_on()
    for watched in started:
        watched.sensor.close(LIMIT)
        assert not watched.sensor._thread.is_alive()
