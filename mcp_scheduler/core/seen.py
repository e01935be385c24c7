"""What is seen of the devices of a node: plain facts of one moment, made by the sensors, read by the accounting."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

CUDA: Final = "CUDA_VISIBLE_DEVICES"

# How well two GPUs are linked: the higher, the better. NVLink is NVLINK plus the number of links.
ACROSS_SOCKETS: Final = 1
SAME_SOCKET: Final = 2
SAME_SWITCH: Final = 3
NVLINK: Final = 10


class Health(StrEnum):
    """Whether a device may be used. Only `OK` is offered to tasks; what runs on a `QUARANTINED` or `LOST` one is lost,
    what runs on one in another state may well go on."""

    OK = "ok"
    DRAINING = "draining"  # what runs may finish; nothing new is started
    QUARANTINED = "quarantined"  # broken: what runs on it cannot be trusted
    LOST = "lost"  # not there any more
    SILENT = "silent"  # the driver does not answer or cannot be used: nothing is known


class Use(StrEnum):
    """What a process does with a device."""

    COMPUTE = "compute"
    GRAPHICS = "graphics"


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process on a device. `memory` in bytes, None where the driver does not say.

    `owner` is the reservation that the process belongs to, "" for somebody else's, None where nobody can tell.
    """

    pid: int
    memory: int | None
    use: Use = Use.COMPUTE
    owner: str | None = ""


@dataclass(frozen=True, slots=True)
class GpuSeen:
    """A device at one moment: a GPU, a MIG instance, or an accelerator that the settings declare.

    Memory in bytes; None is unknown, never 0. `label` is its class (`h100-80gb`), `links` pairs of another device's
    uuid and the rank of the link. `listed` tells whether the processes could be asked for at all. `parent` is the
    GPU whose `instance`-th MIG instance this is. A `unified` device shares the host's memory. A device that is not
    `live` is declared: it has no figures but its size. A program sees the device by `value` (default: the uuid) in
    the environment variable `variable`.
    """

    uuid: str
    index: int
    name: str
    label: str
    total: int | None
    used: int | None = None
    free: int | None = None
    utilisation: int | None = None  # percent of the last moments in which any kernel ran: not a measure of capacity
    processes: tuple[GpuProcess, ...] = ()
    listed: bool = True
    health: Health = Health.OK
    why: str = ""
    links: tuple[tuple[str, int], ...] = ()
    parent: str = ""
    instance: int | None = None
    temperature: int | None = None  # degrees Celsius
    power: int | None = None  # milliwatts
    power_limit: int | None = None  # milliwatts that the driver lets it draw at most
    energy: int | None = None  # millijoules since the driver was loaded
    unified: bool = False
    live: bool = True
    variable: str = CUDA
    value: str = ""

    @property
    def healthy(self) -> bool:
        return self.health is Health.OK

    @property
    def short(self) -> str:
        """Its name for people: gpu0, or gpu0:2 for a MIG instance, or the declared id."""
        if not self.live:
            return self.uuid
        return f"gpu{self.index}" if self.instance is None else f"gpu{self.index}:{self.instance}"

    @property
    def shows_a_desktop(self) -> bool:
        return any(process.use is Use.GRAPHICS for process in self.processes)

    def answers_to(self, wish: str) -> bool:
        """Whether `wish` means this device: "" (any), gpu0, the beginning of a uuid, part of label or name, or one of
        several such texts with | between them."""
        wish = wish.strip().lower()
        if not wish:
            return True
        if "|" in wish:
            return any(self.answers_to(part) for part in wish.split("|") if part.strip())
        if wish.startswith("gpu") and wish[3:].replace(":", "").isdigit():
            return self.live and wish in (self.short, f"gpu{self.index}")
        if wish.startswith(("gpu-", "mig-")):
            return self.uuid.lower().startswith(wish) or (bool(self.parent) and self.parent.lower().startswith(wish))
        return wish in self.label.lower() or wish in self.name.lower() or wish == self.uuid.lower()


def visibility(devices: Iterable[GpuSeen]) -> dict[str, str]:
    """The environment variables that let a program see these devices and no other NVIDIA GPU."""
    shown: dict[str, list[str]] = {CUDA: []}
    for device in devices:
        shown.setdefault(device.variable, []).append(device.value or device.uuid)
    return {**{name: ",".join(values) for name, values in shown.items()}, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
