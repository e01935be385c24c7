"""What this host has and how loaded it is, through psutil. Processor load is the mean since the last look."""

from __future__ import annotations

from collections.abc import Mapping

import psutil

from mcp_scheduler.core.node import LOCAL, Node
from mcp_scheduler.core.task import MILLI
from mcp_scheduler.settings import Pool, usable_cpus

_SHARE = 0.9  # of the host's memory is offered to tasks: the rest is the system's and ours


class HostSensor:
    """This host as a node."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        psutil.cpu_percent(None)  # the first look only starts the measurement

    def node(self) -> Node:
        pool = self._pool
        amounts = {name: round(amount * MILLI) for name, amount in pool.resources.items()}
        amounts["cpus"] = round((pool.cpus or usable_cpus()) * MILLI)
        amounts["memory"] = pool.memory or int(psutil.virtual_memory().total * _SHARE)
        return Node(LOCAL, tuple(sorted(amounts.items())))

    def load(self) -> Mapping[str, float]:
        memory = psutil.virtual_memory()
        return {"cpu": psutil.cpu_percent(None), "memory": memory.percent}
