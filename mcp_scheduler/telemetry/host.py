"""What this host has and how loaded it is, through psutil. Processor load is the mean since the last look; the disk is
the one that the home lies on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psutil

from mcp_scheduler.core.node import LOCAL, Node
from mcp_scheduler.core.task import MILLI
from mcp_scheduler.settings import Pool, usable_cpus
from mcp_scheduler.telemetry.pressure import pressures

_SHARE = 0.9  # of the host's memory is offered to tasks: the rest is the system's and ours


class HostSensor:
    """This host as a node."""

    def __init__(self, pool: Pool, home: Path) -> None:
        self._pool = pool
        self._home = home
        psutil.cpu_percent(None)  # the first look only starts the measurement

    def node(self) -> Node:
        pool = self._pool
        amounts = {name: round(amount * MILLI) for name, amount in pool.resources.items()}
        amounts["cpus"] = round((pool.cpus or usable_cpus()) * MILLI)
        amounts["memory"] = pool.memory or int(psutil.virtual_memory().total * _SHARE)
        return Node(LOCAL, tuple(sorted(amounts.items())))

    def load(self) -> Mapping[str, float]:
        memory = psutil.virtual_memory()
        disk = psutil.disk_usage(str(self._home))
        return {"cpu": psutil.cpu_percent(None), "memory": memory.percent, "disk": disk.percent} | dict(pressures())
