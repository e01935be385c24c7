"""One look at all NVIDIA devices: from handles to `GpuSeen`. What does not change is read once and remembered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from mcp_scheduler.core.seen import GpuProcess, GpuSeen, Health, Use
from mcp_scheduler.telemetry import alerts
from mcp_scheduler.telemetry.labels import is_unified, label
from mcp_scheduler.telemetry.links import links
from mcp_scheduler.telemetry.nvml import OF_THE_DRIVER, Nvml, Trouble

_MEMINFO: Final = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class Look:
    """What was found: the devices, what should be said about them, and handles of the GPUs by uuid."""

    gpus: tuple[GpuSeen, ...]
    alerts: tuple[str, ...]
    handles: dict[str, Any]


class Readings:
    """Looks at the devices. `tenant_of` tells whose a process is (see `GpuProcess.owner`)."""

    def __init__(self, nvml: Nvml, tenant_of: Callable[[int], str | None], meminfo: Path = _MEMINFO) -> None:
        self._nvml = nvml
        self._tenant_of = tenant_of
        self._meminfo = meminfo
        self._known: dict[str, GpuSeen] = {}  # every GPU ever seen, as it was last, by uuid
        self._links: dict[str, tuple[tuple[str, int], ...]] = {}

    def silent(self, why: str) -> tuple[GpuSeen, ...]:
        """Every device that was seen, when the driver itself cannot be used: programs that run may go on."""
        known = sorted(self._known.values(), key=lambda seen: (seen.index, seen.instance or 0))
        return tuple(_sick(seen, Health.SILENT, why) for seen in known)

    def look(self) -> Look:
        """All devices now; one that is in trouble says so itself. Errors: `Trouble`, when it is the driver's."""
        told: list[str] = []
        found: list[GpuSeen] = []
        handles: dict[str, Any] = {}
        for index, handle in enumerate(self._nvml.handles()):
            if isinstance(handle, Trouble):
                found += self._troubled(index, handle, handles)
                continue
            uuid = ""
            try:
                uuid = str(self._nvml.ask("nvmlDeviceGetUUID", handle))
                handles[uuid] = handle
                found += self._gpu(index, uuid, handle, told)
            except Trouble as trouble:
                if trouble.code in OF_THE_DRIVER:
                    raise
                handles.pop(uuid, None)
                found += self._troubled(index, trouble, handles)
        found += self._vanished(found)
        found = self._linked(found, handles)
        self._known = {seen.uuid: seen for seen in found}
        told += [f"{seen.short} ({seen.label}): {seen.why}." for seen in found if not seen.healthy]
        return Look(tuple(found), tuple(told), handles)

    def _gpu(self, index: int, uuid: str, handle: Any, told: list[str]) -> list[GpuSeen]:
        """The GPU, or the MIG instances that it is divided into."""
        health, why = self._health(handle)
        instances = self._nvml.instances(handle)
        if instances is None:
            return [self._device(index, uuid, handle, health, why)]
        parts: list[GpuSeen] = []
        for number, instance in instances:
            part = str(self._nvml.ask("nvmlDeviceGetUUID", instance))
            seen = self._device(index, part, instance, health, why)
            parts.append(replace(seen, parent=uuid, instance=number))
        if not parts:
            told.append(f"gpu{index} {alerts.NO_INSTANCES}.")
        return parts

    def _device(self, index: int, uuid: str, handle: Any, health: Health, why: str) -> GpuSeen:
        nvml = self._nvml
        name = str(nvml.ask("nvmlDeviceGetName", handle))
        unified = is_unified(name)
        total, used, free = (self._host_memory() if unified else nvml.memory(handle)) or (None, None, None)
        rows = nvml.processes(handle)
        return GpuSeen(
            uuid=uuid,
            index=index,
            name=name,
            label=label(name, total),
            total=total,
            used=used,
            free=free,
            utilisation=nvml.utilisation(handle),
            processes=tuple(
                GpuProcess(pid, memory, Use.COMPUTE if computes else Use.GRAPHICS, self._tenant_of(pid))
                for pid, memory, computes in rows or ()
            ),
            listed=rows is not None,
            health=health,
            why=why,
            links=self._links.get(uuid, ()),
            temperature=nvml.wish("nvmlDeviceGetTemperature", handle, 0),
            power=nvml.wish("nvmlDeviceGetPowerUsage", handle),
            power_limit=nvml.wish("nvmlDeviceGetEnforcedPowerLimit", handle),
            energy=nvml.wish("nvmlDeviceGetTotalEnergyConsumption", handle),
            unified=unified,
        )

    def _health(self, handle: Any) -> tuple[Health, str]:
        action = self._nvml.recovery_action(handle)
        if action:
            return alerts.RECOVERY.get(action, (Health.QUARANTINED, f"The driver asks for recovery action {action}"))
        waiting, failed = self._nvml.bad_rows(handle)
        if failed:
            return Health.DRAINING, alerts.ROWS_FAILED
        return (Health.DRAINING, alerts.ROWS_WAIT) if waiting else (Health.OK, "")

    def _troubled(self, index: int, trouble: Trouble, well: Mapping[str, Any]) -> list[GpuSeen]:
        """The device at this place as it was last, in bad health. One never seen before cannot even be named."""
        health, why = alerts.of_the_device(trouble)
        before = [seen for seen in self._known.values() if seen.index == index and seen.uuid not in well]
        if not before:
            unknown = GpuSeen(f"unknown-{index}", index, "a GPU that cannot be read", "gpu", None)
            before = [unknown]
        return [_sick(seen, health, why) for seen in before]

    def _vanished(self, found: list[GpuSeen]) -> list[GpuSeen]:
        """GPUs that were there and are not listed any more. MIG instances that are gone were partitioned away."""
        there = {seen.uuid for seen in found} | {seen.parent for seen in found}
        return [
            _sick(seen, Health.LOST, "The GPU is not listed by the driver any more. Look into `dmesg`")
            for seen in self._known.values()
            if seen.uuid not in there and not seen.parent and not seen.uuid.startswith("unknown-")
        ]

    def _linked(self, found: list[GpuSeen], handles: dict[str, Any]) -> list[GpuSeen]:
        """Links are read again only when the set of healthy GPUs has changed."""
        whole = {seen.uuid: handles[seen.uuid] for seen in found if seen.uuid in handles and seen.healthy}
        if len(whole) < 2 or whole.keys() <= self._links.keys():  # noqa: PLR2004 - one GPU has no link
            return found
        self._links = links(self._nvml, whole)
        return [replace(seen, links=self._links.get(seen.uuid, ())) for seen in found]

    def _host_memory(self) -> tuple[int, int, int] | None:
        """(total, used, free) of the pool that a unified device shares with the host."""
        try:
            rows = dict(line.split(":", 1) for line in self._meminfo.read_text().splitlines())
            total, free = (int(rows[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
        except (OSError, ValueError, KeyError):
            return None
        return total, total - free, free


def _sick(seen: GpuSeen, health: Health, why: str) -> GpuSeen:
    """Its old figures mean nothing any more; its size and its name do."""
    return replace(
        seen, health=health, why=why, used=None, free=None, utilisation=None, processes=(), power=None, temperature=None
    )
