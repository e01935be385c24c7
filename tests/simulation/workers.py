"""Workers on GPUs as they really are: they live on after their calls, warm, until they are told to go."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mcp_scheduler.core.changes import Launch
from mcp_scheduler.core.task import Needs


@dataclass(frozen=True)
class Worker:
    """What it was given. It may be anywhere on these devices, with a call or without one."""

    devices: tuple[str, ...]
    needs: Needs


class Workers:
    """`alive`: slot → its worker; `told`: slots whose worker was told to go."""

    def __init__(self) -> None:
        self.alive: dict[str, Worker] = {}
        self.told: set[str] = set()
        self.sizes: Mapping[str, int] = {}  # bytes of each device

    def launch(self, launch: Launch) -> None:
        """A worker is there, perhaps a new one, and gets calls."""
        if not launch.devices:
            return
        known = self.alive.get(launch.slot)
        assert known is None or known.devices == launch.devices, f"{launch.slot} moves to {launch.devices}: {known}."
        self.told.discard(launch.slot)
        mine = self.alive[launch.slot] = Worker(launch.devices, launch.terms.needs)
        for device in launch.devices:
            here = {slot: one for slot, one in self.alive.items() if device in one.devices}
            alone = [slot for slot, one in here.items() if not one.needs.gpu_memory]
            assert not alone or len(here) == 1, f"{device} is given to {launch.slot}, and {here} live there."
            used = sum(one.needs.gpu_memory for one in here.values())
            assert used <= self.sizes[device], f"Of {device} {used} bytes are given away, {mine} among them."

    def end(self, slot: str) -> None:
        self.alive.pop(slot, None)
        self.told.discard(slot)

    def idle(self, busy: Collection[str]) -> list[str]:
        """Those without a call, and those that were told to go first."""
        return sorted(self.alive.keys() - busy, key=lambda slot: (slot not in self.told, slot))

    def engine_dies(self, busy: Collection[str]) -> None:
        """The next one ends those that have nothing to do."""
        for slot in self.idle(busy):
            self.end(slot)
