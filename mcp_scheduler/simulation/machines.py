"""Machines by a line of text: `2*cpus=16,memory=64GB,gpus=4,gpu_memory=80GB,device=h100`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mcp_scheduler.core.node import Node
from mcp_scheduler.core.seen import GpuSeen
from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.requests import size
from mcp_scheduler.simulation.trace import Machine, amounts_of

HOW = "Write [COUNT*]name=amount,...: cpus=256, or 4*cpus=16,memory=64GB,gpus=2,gpu_memory=80GB,device=h100."


def parse(texts: Iterable[str]) -> tuple[Machine, ...]:
    """The machines that these texts name, `node-0` and on."""
    machines: list[Machine] = []
    for text in texts:
        count, _, rest = text.rpartition("*")
        if count and not count.strip().isdecimal():
            raise InvalidRequest(f"'{text}' begins with '{count}', which is no count.", hint=HOW)
        given = _pairs(text, rest)
        machines += [machine(f"node-{len(machines) + i}", given) for i in range(int(count or 1))]
    return tuple(machines)


def machine(name: str, given: Mapping[str, Any]) -> Machine:
    """A machine of these amounts: `cpus`, `memory`, named resources; `gpus` devices of `gpu_memory` bytes each, which
    answer to `device`. A device's memory is what can be promised of it: nothing is set aside for contexts."""
    amounts = dict(given)
    count, label = amounts.pop("gpus", 0), str(amounts.pop("device", "gpu"))
    try:
        memory = size(amounts.pop("gpu_memory", 0)) or None
        if "memory" in amounts:
            amounts["memory"] = size(amounts["memory"])
        counted = amounts_of({name: float(value) for name, value in amounts.items()})
        number = int(count)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(f"{name}: {error}", hint=HOW) from error
    if number < 0 or any(amount < 0 for _, amount in counted):
        raise InvalidRequest(f"{name} has less than nothing of something: {dict(given)}.", hint=HOW)
    devices = tuple(device(name, index, label, memory if isinstance(memory, int) else None) for index in range(number))
    return Machine(Node(name, counted), devices)


def device(node: str, index: int, label: str, memory: int | None) -> GpuSeen:
    """A device that no driver tells of."""
    return GpuSeen(f"{node}/gpu{index}", index, label, label.lower(), memory, live=False)


def _pairs(text: str, rest: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for part in rest.split(","):
        name, equals, value = part.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise InvalidRequest(f"'{part}' in '{text}' is no name=amount.", hint=HOW)
        given[name.strip()] = value.strip()
    return given
