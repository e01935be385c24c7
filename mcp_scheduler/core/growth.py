"""How much memory the next attempt claims after one that had too little: more, then everything."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from mcp_scheduler.core.accounts import CONTEXT, headroom
from mcp_scheduler.core.estimates import Expected
from mcp_scheduler.core.learning import device_class
from mcp_scheduler.core.task import Needs, Task

if TYPE_CHECKING:
    from mcp_scheduler.core.cluster import Cluster
    from mcp_scheduler.core.events import Outcome
    from mcp_scheduler.core.slots import Slot

GROWTH: Final = 1.5  # times the old claim
ABOVE_PEAK: Final = 1.2  # times the most that was seen: peaks between two looks are missed
MEMORY: Final = "memory"  # the host's, among the amounts of needs
_GRAIN: Final = 2**20  # claims are whole MiB: equal ones share their queue
_DEVICE_WORDS: Final = ("CUDA", "CUBLAS", "cuda", "HIP", "RESOURCE_EXHAUSTED", "OutOfMemoryError")
_NAMED: Final = re.compile(r"[Tt]ried to allocate (\d+(?:\.\d+)?) ?([KMG])i?B")
_UNITS: Final = {"K": 2**10, "M": 2**20, "G": 2**30}


def larger_claim(cluster: Cluster, task: Task, slot: Slot, outcome: Outcome, before: int) -> Needs | None:
    """The needs of the next attempt, of which `before` have already grown; None where there is no more to be had."""
    needs, footprints = slot.terms.needs, cluster.footprints
    if needs.has_devices and any(word in outcome.error for word in _DEVICE_WORDS):
        expected = footprints.device_memory(task, device_class(cluster, slot)) if footprints else None
        return _on_devices(cluster, slot, outcome, expected, before)
    return _on_host(cluster, slot, outcome, footprints.memory(task) if footprints else None, before)


def _on_host(cluster: Cluster, slot: Slot, outcome: Outcome, expected: Expected | None, before: int) -> Needs | None:
    needs = slot.terms.needs
    total = cluster.rooms[slot.node].total.get(MEMORY, 0)
    old = dict(needs.amounts).get(MEMORY, 0)
    if old >= total:
        return None
    wanted = max(GROWTH * old, ABOVE_PEAK * outcome.memory_peak, expected.upper if expected is not None else 0.0)
    claim = total if before or not wanted else min(_rounded(wanted), total)
    amounts = {**dict(needs.amounts), MEMORY: claim}
    return replace(needs, amounts=tuple(sorted(amounts.items())))


def _on_devices(cluster: Cluster, slot: Slot, outcome: Outcome, expected: Expected | None, before: int) -> Needs | None:
    """Shared memory grows; then the device is the task's alone. Peaks and forecasts count the context in, claims do
    not."""
    needs = slot.terms.needs
    if not needs.gpu_memory:
        return None
    peak = max(0, outcome.device_peak - CONTEXT)
    named = _NAMED.search(outcome.error)
    told = float(named[1]) * _UNITS[named[2]] + peak if named else 0.0
    forecast = expected.upper - CONTEXT if expected is not None else 0.0
    claim = _rounded(max(GROWTH * needs.gpu_memory, ABOVE_PEAK * peak, told, forecast))
    states = cluster.rooms[slot.node].devices.states
    total = min((states[uuid].seen.total or 0 for uuid in slot.devices if uuid in states), default=0)
    if before or claim > total - headroom(total) - CONTEXT:
        return replace(needs, gpus=max(needs.gpus, 1), gpu_memory=0)
    return replace(needs, gpu_memory=claim)


def _rounded(amount: float) -> int:
    return -int(-amount // _GRAIN) * _GRAIN
