"""What stands in the way of a task on a device, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_scheduler.core.task import Needs

if TYPE_CHECKING:
    from mcp_scheduler.core.devices import DeviceState


def obstacle(state: DeviceState, needs: Needs) -> str:
    """Why this device is not for this task now."""
    seen = state.seen
    if not seen.healthy:
        return f"{seen.health}. {seen.why}".rstrip(". ")
    if state.withheld:
        return "; ".join(state.withheld.values())
    if state.on_probation and state.promises:
        return "tried with one task after its quarantine"
    if state.whole:
        return f"held as a whole by {state.whole}"
    if needs.gpu_memory:
        return f"{_gib(max(0, state.open_bytes))} GiB can be promised, the rest is promised or in use by others"
    return f"shared by {', '.join(state.promises)}" if state.promises else _strangers(state)


def _strangers(state: DeviceState) -> str:
    if state.is_open_whole:
        return "free, but not enough of them are"
    pids = [str(process.pid) for process in state.seen.processes if process.owner not in state.gone]
    named = f" (pids {', '.join(pids[:4])})" if pids else ""
    return f"other programs use {_gib(state.seen.used or 0)} GiB of it{named}"


def _gib(amount: int) -> str:
    return f"{amount / 2**30:.1f}"
