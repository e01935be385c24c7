"""How many CPUs tasks may have beside other programs, on a host that is overloaded by those.

What the CPUs do beyond what tasks have reserved is others' (or that of tasks that take more than they said). While the
host is overloaded, tasks are offered what these leave, one CPU at least. Hysteresis: two looks in a row beyond the
upper thresholds begin it, two below the lower ones end it. Whoever finds no CPUs for `LONGEST` seconds has waited long
enough: then all of them are offered, however busy the host is, until nobody waits for so long.
"""

from __future__ import annotations

from typing import Final

BUSY: Final = (70.0, 85.0)  # percent of the CPUs, the lower and the upper threshold
PRESSURE: Final = (10.0, 25.0)  # the same, of the time in which work waits for a CPU; where the kernel tells it
FEW: Final = 10.0  # percent: others who take less overload nobody
LOOKS: Final = 2  # in a row
LONGEST: Final = 300.0  # seconds
_SOOTHE: Final = 0.3
_GRAIN: Final = 500  # thousandths of a CPU: smaller steps are noise
_LEAST: Final = 1000


class Courtesy:
    """`foreign`: percent of the CPUs that others take, smoothed."""

    __slots__ = ("_run", "foreign", "is_overloaded")

    def __init__(self) -> None:
        self.foreign = 0.0
        self.is_overloaded = False
        self._run = 0  # looks in a row that speak for a change

    def look(self, most: int, cpu: float, reserved: float, pressure: float, waiting: float) -> int:
        """What is offered of `most` thousandths of CPUs from now on. `cpu`: percent that are busy; `reserved`: percent
        that tasks have; `pressure`: percent of the time, 0 where nobody tells; `waiting`: seconds for which somebody
        has found no CPUs."""
        self.foreign += _SOOTHE * (max(0.0, cpu - reserved) - self.foreign)
        self._judge(cpu, pressure)
        if not self.is_overloaded or waiting > LONGEST:
            return most
        left = int(most * (1.0 - self.foreign / 100.0)) // _GRAIN * _GRAIN
        return min(most, max(_LEAST, left))

    def _judge(self, cpu: float, pressure: float) -> None:
        if self.is_overloaded:
            speaks = (cpu < BUSY[0] and pressure < PRESSURE[0]) or self.foreign < FEW
        else:
            speaks = (cpu > BUSY[1] or pressure > PRESSURE[1]) and self.foreign >= FEW
        self._run = self._run + 1 if speaks else 0
        if self._run >= LOOKS:
            self.is_overloaded, self._run = not self.is_overloaded, 0
