"""The openb trace: pods that share GPUs on 1,213 nodes (a node list and a pod list, as CSV).

Source: Q. Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent",
USENIX ATC 2023; Alibaba's cluster-trace-gpu-v2023. A GPU is read as a device with 1,000 units of memory, so that a
share in thousandths (`gpu_milli`) is so much of it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from typing import Final

from mcp_scheduler.core.node import Node
from mcp_scheduler.core.task import Needs
from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.simulation.jobs import Job
from mcp_scheduler.simulation.machines import device
from mcp_scheduler.simulation.trace import Machine, Trace, ordered

WHOLE: Final = 1000  # thousandths of a GPU
_MIB: Final = 2**20


def read(name: str, nodes: Iterable[str], pods: Iterable[str]) -> Trace:
    """Machines and pods. Pods without an end are counted as skipped."""
    try:
        machines = [_machine(row) for row in csv.DictReader(nodes)]
        rows = list(csv.DictReader(pods))
        jobs = [job for job in map(_job, rows) if job is not None]
    except (KeyError, ValueError) as error:
        raise InvalidRequest(f"{name} is no list of nodes and pods of the openb trace: {error!r}.") from error
    return ordered(name, jobs, machines, len(rows) - len(jobs))


def _machine(row: Mapping[str, str]) -> Machine:
    name = row["sn"]
    amounts = (("cpus", int(row["cpu_milli"])), ("memory", int(row["memory_mib"]) * _MIB))
    devices = (device(name, index, row["model"], WHOLE) for index in range(int(row["gpu"])))
    return Machine(Node(name, amounts), tuple(devices))


def _job(row: Mapping[str, str]) -> Job | None:
    amounts = (("cpus", int(row["cpu_milli"])), ("memory", int(row["memory_mib"]) * _MIB))
    count, share = int(row["num_gpu"]), int(row["gpu_milli"])
    created, deleted = row["creation_time"], row["deletion_time"]
    if not created or not deleted:
        return None
    began = float(row["scheduled_time"] or created)
    shared = count == 1 and share < WHOLE
    return Job(
        row["name"],
        float(created),
        max(0.0, float(deleted) - began),
        Needs(
            tuple(pair for pair in amounts if pair[1]),
            gpus=count,
            gpu_memory=share if shared else 0,
            device=row["gpu_spec"].lower() if count else "",
        ),
        principal=row["qos"],
        target="pod",
    )
