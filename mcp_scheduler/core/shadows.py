"""When a node will have room for needs that do not fit now: the shadow in which shorter work may go first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Final

from mcp_scheduler.core.devices import DeviceState
from mcp_scheduler.core.slots import NOTHING, Room
from mcp_scheduler.core.task import Needs

STRANGERS: Final = 60.0  # seconds after which programs that are not ours are looked for again


@dataclass(slots=True)
class Shadow:
    """`at`: when the needs will fit, by the upper bounds of what runs; infinite if they will not. `extra`: what else
    will be free then of each resource that they name; `devices`: those that they will get."""

    at: float
    extra: dict[str, int]
    devices: frozenset[str] = NOTHING


def shadow(room: Room, needs: Needs, now: float, avoid: frozenset[str] = NOTHING) -> Shadow:
    """The earliest time at which the node has room, if nothing else is started on it."""
    at, devices = now, NOTHING
    if needs.has_devices:
        ends = {slot.id: slot.ends_by(now) for slot in room.slots.values()}
        times = device_times(room, needs, ends, now, avoid)
        count = max(1, needs.gpus)
        if len(times) < count:
            return Shadow(inf, {})
        at = max(now, times[count - 1][0])
        devices = frozenset(uuid for _, uuid in times[:count])
    free = {name: room.free.get(name, 0) for name, _ in needs.amounts}
    for end, name in sorted([(slot.ends_by(now), slot.id) for slot in room.slots.values()]):
        if end > at and all(free[name] >= amount for name, amount in needs.amounts):
            break
        for resource, amount in room.slots[name].amounts:
            if resource in free:
                free[resource] += amount
        at = max(at, end)
    extra = {name: free[name] - amount for name, amount in needs.amounts}
    return Shadow(at if all(left >= 0 for left in extra.values()) else inf, extra, devices)


def device_times(
    room: Room, needs: Needs, ends: Mapping[str, float], now: float, avoid: frozenset[str]
) -> list[tuple[float, str]]:
    """(when it will be free for a task with these needs, device), the earliest first."""
    devices = room.devices
    return sorted(
        (_free_at(state, devices.size(state, needs) if needs.gpu_memory else 0, ends, now), state.seen.uuid)
        for state in devices.usable(needs)
        if state.seen.uuid not in avoid
    )


def _free_at(state: DeviceState, size: int, ends: Mapping[str, float], now: float) -> float:
    """`size` in bytes, 0 for all of it. Tenants that only stay warm are sent away at once."""
    if (state.open_bytes >= size) if size else state.is_open_whole:
        return now
    if not state.promises:
        return now + STRANGERS
    times = sorted((ends.get(tenant, now), promise) for tenant, promise in state.promises.items())
    missing = size - state.account.free if size and not state.whole else inf
    for end, promise in times:
        missing -= promise
        if missing <= 0:
            return end
    return times[-1][0]
