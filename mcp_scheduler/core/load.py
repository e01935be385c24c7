"""How busy a node is, from 0 to 1: what makes its weight, see `scoring`.

    load = 0.6 · cpu + 0.4 · latency

Both are from 0 to 1, and smoothed by whoever has looked at the node. `cpu` is the part of the processors that is busy,
or soon will be; `latency` how late something is done there that could be done at once.
"""

from __future__ import annotations

from typing import Final

CPU: Final = 0.6
LATENCY: Final = 0.4


def load_of(cpu: float, latency: float) -> float:
    """The load; the arguments are percent, what is beyond 0 and 100 counts as these."""
    return CPU * _part(cpu) + LATENCY * _part(latency)


def _part(percent: float) -> float:
    return min(max(percent, 0.0), 100.0) / 100.0
