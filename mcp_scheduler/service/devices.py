"""Devices in words: what there is, why a task waits for one, and why there is none for it at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mcp_scheduler import errors
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.devices import DeviceState
from mcp_scheduler.core.slots import Room
from mcp_scheduler.core.task import Needs
from mcp_scheduler.views import DeviceView

GIB: Final = 2**30
_SHOWN: Final = 4


def asked(needs: Needs) -> str:
    """`2 gpus of 10.0 GiB each (h100)`."""
    text = f"{needs.gpus} gpu{'s' if needs.gpus > 1 else ''}"
    if needs.gpu_memory:
        text += f" of {needs.gpu_memory / GIB:.1f} GiB{' each' if needs.gpus > 1 else ''}"
    return f"{text} ({needs.device})" if needs.device else text


def why_not(needs: Needs, room: Room, cluster: Cluster) -> str:
    """Why the devices do not fit now, a few of them; "" if they do."""
    told = room.devices.explain(needs)
    more = f"; and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return _with_tasks("; ".join(told[:_SHOWN]) + more, room, cluster)


def no_such_devices(needs: Needs, rooms: Iterable[Room], absent: str) -> errors.Unsatisfiable:
    """What to tell who asks for devices that are nowhere, however long one waits."""
    kinds: dict[str, int] = {}
    for room in rooms:
        for state in room.devices.states.values():
            seen = state.seen
            size = f", {seen.total / GIB:.0f} GiB" if seen.total else ""
            kinds[f"{seen.label}{size}"] = kinds.get(f"{seen.label}{size}", 0) + 1
    there = ", ".join(f"{count} x {kind}" for kind, count in kinds.items()) or "none"
    return errors.Unsatisfiable(
        f"No node has {asked(needs)}. There are: {there}.{f' {absent}' if absent and not kinds else ''}",
        hint="Ask for what there is (get_node_load shows it), or leave needs.gpus, gpu_memory and device out.",
    )


def views_of(room: Room, cluster: Cluster) -> tuple[DeviceView, ...]:
    """The devices of a node, in the order in which they are given out."""
    return tuple(_view(state, cluster) for state in room.devices.ordered)


def _view(state: DeviceState, cluster: Cluster) -> DeviceView:
    seen = state.seen
    tasks: list[str] = []
    for tenant in state.promises:
        slot = cluster.slots.get(tenant)
        tasks += [attempt.task for attempt in slot.attempts] if slot is not None else ["(a warm worker)"]
    tried = "tried with one task after its quarantine" if state.on_probation else ""
    why = "; ".join(filter(None, [seen.why.rstrip("."), *state.withheld.values(), tried]))
    return DeviceView(
        name=seen.short,
        uuid=seen.uuid,
        label=seen.label,
        health=_health(state),
        total=seen.total or 0,
        free=seen.free,
        promised=state.account.promised,
        available=max(0, state.open_bytes),
        whole=state.is_open_whole,
        tasks=tuple(tasks),
        others=sum(process.owner == "" and process.owner not in state.promises for process in seen.processes),
        why=why,
    )


def _health(state: DeviceState) -> str:
    if not state.seen.healthy or not (state.withheld or state.on_probation):
        return state.seen.health.value
    return "withheld" if state.withheld else "probation"


def _with_tasks(text: str, room: Room, cluster: Cluster) -> str:
    """Tenants are slots; a person knows tasks."""
    for tenant in room.devices.held:
        if tenant in text:
            slot = cluster.slots.get(tenant)
            known = (
                ", ".join(attempt.task for attempt in slot.attempts) if slot else "a warm worker that is about to end"
            )
            text = text.replace(tenant, known)
    return text
