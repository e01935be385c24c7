"""The host's load as a series: looked at every few seconds, beside the loop, and forecast for the next minutes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from mcp_scheduler.core.events import LoadSeen
from mcp_scheduler.core.node import LOCAL
from mcp_scheduler.forecast.waves import Wave
from mcp_scheduler.ports import LoadHistory, Sensor

EVERY: Final = 5.0  # seconds
HORIZON: Final = 60.0  # seconds ahead
SEASON: Final = 300.0  # seconds: what comes every minute or every five is seen
_GRAIN: Final = 5.0  # percent; smaller changes decide nothing
_SOOTHE: Final = 0.3
LATE: Final = 0.2  # seconds: who wakes up so late on this host, or later, counts as late by 100 percent


class LoadSampler:
    """`load` is the last look, `soon` what is expected a minute later. The engine is told when it makes a difference:
    of the CPUs what is busy, smoothed, or soon will be; how late things are done here, smoothed; and of the memory,
    beyond `limit` percent of which nothing more is started."""

    def __init__(self, sensor: Sensor, report: Callable[[LoadSeen], None], limit: float) -> None:
        self._sensor = sensor
        self._report = report
        self._limit = limit
        self._waves: dict[str, Wave] = {}
        self._told: LoadSeen | None = None
        self._smooth: dict[str, float] = {}
        self.load: Mapping[str, float] = {}
        self.on_look: list[Callable[[Mapping[str, float]], None]] = []

    @property
    def soon(self) -> dict[str, float]:
        return {name: wave.ahead() for name, wave in self._waves.items()}

    def history(self) -> tuple[LoadHistory, ...]:
        """Every series, the newest value last."""
        return tuple(
            LoadHistory(name, EVERY, tuple(wave.values), wave.ahead(), HORIZON, wave.error)
            for name, wave in self._waves.items()
        )

    async def run(self) -> None:
        loop, late = asyncio.get_running_loop(), 0.0
        while True:
            self.look(late)
            due = loop.time() + EVERY
            await asyncio.sleep(EVERY)
            late = loop.time() - due

    def look(self, late: float = 0.0) -> None:
        """One sample, `late` seconds after it was due. Work waits for a processor at least as long as the kernel says,
        and as this look has had to wait."""
        self.load = dict(self._sensor.load())
        for name, value in self.load.items():
            wave = self._waves.get(name)
            if wave is None:
                wave = self._waves[name] = Wave(round(HORIZON / EVERY), round(SEASON / EVERY))
            wave.add(value)
        for listener in self.on_look:
            listener(self.load)
        self._tell(max(self.load.get("cpu_pressure", 0.0), 100.0 * min(late / LATE, 1.0)))

    def _tell(self, latency: float) -> None:
        memory = max(self.load.get("memory", 0.0), self._waves["memory"].ahead() if "memory" in self._waves else 0.0)
        wave = self._waves.get("cpu")
        cpu = self._smoothed("cpu", self.load.get("cpu", 0.0))
        if wave is not None and wave.is_modelled:
            cpu = max(cpu, wave.ahead())
        late = _coarse(self._smoothed("latency", latency))
        seen = LoadSeen(LOCAL, _coarse(cpu), _coarse(memory), is_strained=memory > self._limit, latency=late)
        if seen != self._told:
            self._told = seen
            self._report(seen)

    def _smoothed(self, name: str, value: float) -> float:
        before = self._smooth.get(name, value)
        found = self._smooth[name] = before + _SOOTHE * (value - before)
        return found


def _coarse(percent: float) -> float:
    return round(percent / _GRAIN) * _GRAIN
