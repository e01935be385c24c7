"""CUDA_VISIBLE_DEVICES as the engine found it: the set of GPUs that it may use at all."""

from __future__ import annotations

from collections.abc import Sequence

from mcp_scheduler.core.seen import GpuSeen


def allowed(value: str | None, seen: Sequence[GpuSeen]) -> list[GpuSeen]:
    """Those of `seen` that the variable's value names, in their own order; all if the variable is not set.

    As CUDA reads it: indices in PCI order or beginnings of uuids; the first invalid entry hides all that follow, and
    the empty value hides everything. A GPU in MIG mode stands for its instances.
    """
    if value is None:
        return list(seen)
    found: set[str] = set()
    for entry in value.split(","):
        named = _named(entry.strip(), seen)
        if not named:
            break
        found |= named
    return [device for device in seen if device.uuid in found or not device.live]


def _named(entry: str, seen: Sequence[GpuSeen]) -> set[str]:
    """The uuids that one entry means; none if it is invalid or means more than one device."""
    live = [device for device in seen if device.live]
    if entry.isdecimal():
        return {device.uuid for device in live if device.index == int(entry)}
    if entry.startswith("MIG-"):
        found = {device.uuid for device in live if device.uuid.startswith(entry)}
        return found if len(found) == 1 else set()
    if entry.startswith("GPU-"):
        gpus = {device.parent or device.uuid for device in live if (device.parent or device.uuid).startswith(entry)}
        return {device.uuid for device in live if (device.parent or device.uuid) in gpus} if len(gpus) == 1 else set()
    return set()
