"""How well the GPUs of this host are linked: NVLink, one switch, one socket, across sockets. It does not change while
the driver is loaded, so it is read once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from typing import Any, Final

from mcp_scheduler.core.seen import ACROSS_SOCKETS, NVLINK, SAME_SOCKET, SAME_SWITCH
from mcp_scheduler.telemetry.nvml import Nvml, Trouble

_LINKS: Final = 36  # NVML knows no GPU with more
_CLOSENESS: Final = ((20, SAME_SWITCH), (40, SAME_SOCKET), (50, ACROSS_SOCKETS))  # NVML's level, at most → rank
_SWITCH: Final = "switch"


def links(nvml: Nvml, handles: Mapping[str, Any]) -> dict[str, tuple[tuple[str, int], ...]]:
    """For each uuid the other GPUs and the rank of the link to them. Errors: `Trouble`."""
    buses = {nvml.bus(handle): uuid for uuid, handle in handles.items()}
    lanes = {uuid: _nvlinks(nvml, handle, buses) for uuid, handle in handles.items()}
    found: dict[str, list[tuple[str, int]]] = {uuid: [] for uuid in handles}
    for one, other in combinations(handles, 2):
        direct = max(lanes[one][other], lanes[other][one])
        count = direct or min(lanes[one][_SWITCH], lanes[other][_SWITCH])
        rank = NVLINK + count if count else _closeness(nvml, handles[one], handles[other])
        if rank:
            found[one].append((other, rank))
            found[other].append((one, rank))
    return {uuid: tuple(pairs) for uuid, pairs in found.items()}


def _nvlinks(nvml: Nvml, handle: Any, buses: Mapping[str, str]) -> Counter[str]:
    """Active NVLinks by what is at the other end: a GPU's uuid, or a switch."""
    counted: Counter[str] = Counter()
    for link in range(nvml.constant("NVML_NVLINK_MAX_LINKS", _LINKS)):
        active = nvml.wish("nvmlDeviceGetNvLinkState", handle, link)
        if active is None:
            break  # no NVLink at all, or no further link
        if active:
            remote = nvml.wish("nvmlDeviceGetNvLinkRemotePciInfo", handle, link)
            bus = "" if remote is None else f"{remote.domain:04x}:{remote.bus:02x}:{remote.device:02x}"
            counted[buses.get(bus, _SWITCH)] += 1
    return counted


def _closeness(nvml: Nvml, one: Any, other: Any) -> int:
    try:
        level = nvml.wish("nvmlDeviceGetTopologyCommonAncestor", one, other)
    except Trouble:
        return 0  # one of them is lost: the look at it says so
    return 0 if level is None else next((rank for most, rank in _CLOSENESS if level <= most), 0)
