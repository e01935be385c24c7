"""From the GPU sensor into the engine's loop: only what changes a decision, at most once a second, and no device that
another engine on this machine has."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from mcp_scheduler.core.events import DevicesSeen, DeviceWithheld
from mcp_scheduler.core.node import LOCAL
from mcp_scheduler.core.seen import CUDA, GpuSeen, visibility
from mcp_scheduler.telemetry import alerts, nvml
from mcp_scheduler.telemetry.declared import declared
from mcp_scheduler.telemetry.gpu import GpuSensor, GpuSnapshot
from mcp_scheduler.telemetry.gpu_locks import GpuLocks, lock_folder
from mcp_scheduler.telemetry.owners import Owners

SHORTEST: Final = 1.0  # seconds between two reports
LONGEST: Final = 5.0  # seconds until we look ourselves: a driver that hangs calls nobody
_GRAIN: Final = 32 * 2**20  # bytes; smaller changes of use decide nothing
LOCKED: Final = "lock"  # the cause under which another engine's devices are withheld

Report = Callable[[DevicesSeen | DeviceWithheld], None]


class GpuFeed:
    """Runs beside the loop where there is anything to see. `alerts` are for a person; `absent` says why there are no
    NVIDIA GPUs, "" if there are."""

    def __init__(
        self, report: Report, locks: GpuLocks, declared: tuple[GpuSeen, ...], sensor: GpuSensor | None, absent: str
    ) -> None:
        self.alerts: tuple[str, ...] = ()
        self.absent = absent
        self._report = report
        self._locks = locks
        self._declared = declared
        self._sensor = sensor
        self._seen: dict[str, GpuSeen] = {}
        self._picture: object = None
        self._refused: dict[str, str] = {}
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def of(
        cls,
        rows: Iterable[Mapping[str, Any]],
        report: Report,
        tenants: Mapping[str, str],
        home: Path,
        *,
        nvidia: bool,
    ) -> Self:
        """`rows` are the declared devices, `tenants` a live view of cookie → tenant; with `nvidia` false NVIDIA's GPUs
        are left alone. To be called in the loop's thread."""
        found = declared(rows)
        absent = alerts.NO_LIBRARY if nvidia else "NVIDIA GPUs are switched off in the settings (pool.gpus)."
        feed = cls(report, GpuLocks(lock_folder(), str(home)), found, None, absent)
        if nvidia and nvml.is_installed():
            loop = asyncio.get_running_loop()
            feed._sensor = GpuSensor(
                Owners(tenants).tenant,
                visible=os.environ.get(CUDA),
                declared=found,
                on_snapshot=lambda _: _wake(loop, feed._news),
            )
        return feed

    async def start(self, patience: float = 1.0) -> None:
        """Begin to look; back after the first look, or when the patience is over. Where there is nothing to look at,
        nothing runs."""
        if self._sensor is None and not self._declared:
            return
        if self._sensor is not None:
            self._sensor.start()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._news.wait()
        self._tell()
        self._task = asyncio.create_task(self._run(), name="gpus")

    async def close(self) -> None:
        """Stop looking, and let other engines have the devices."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._sensor is not None:
            await asyncio.to_thread(self._sensor.close)
        self._locks.close()

    def changed(self, *, is_busy: bool) -> None:
        """Work on devices has begun or ended: look now, and often while there is any."""
        if self._sensor is not None:
            self._sensor.watch(is_busy)
            self._sensor.poke()

    def forgive(self, uuid: str) -> None:
        """A person says that the device is well again."""
        if self._sensor is not None:
            self._sensor.forgive(uuid)

    def visibility(self, devices: Sequence[str]) -> dict[str, str]:
        """The environment variables with which a process sees these devices and no others."""
        known = {seen.uuid: seen for seen in self._declared}
        return visibility(known.get(uuid) or self._seen.get(uuid) or _unseen(uuid) for uuid in devices)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(SHORTEST)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LONGEST):
                    await self._news.wait()
            self._news.clear()
            self._tell()

    def _tell(self) -> None:
        """Another engine's locks first: nothing is placed on a device in between."""
        snapshot = self._sensor.snapshot() if self._sensor is not None else None
        gpus = self._declared if snapshot is None else snapshot.gpus
        refused = self._locks.take(seen.uuid for seen in gpus)
        for uuid in refused.keys() | self._refused.keys():
            if refused.get(uuid) != self._refused.get(uuid):
                self._report(DeviceWithheld(LOCAL, uuid, LOCKED, refused.get(uuid)))
        self._refused = refused
        picture = [_picture(seen) for seen in gpus]
        if picture != self._picture:
            self._picture = picture
            self._seen = {seen.uuid: seen for seen in gpus}
            self._report(DevicesSeen(LOCAL, gpus))
        self._alert(snapshot, gpus)

    def _alert(self, snapshot: GpuSnapshot | None, gpus: Sequence[GpuSeen]) -> None:
        told = [f"{seen.short}: {self._refused[seen.uuid]}" for seen in gpus if seen.uuid in self._refused]
        if snapshot is not None:
            told[:0] = snapshot.alerts
            self.absent = snapshot.absent
        self.alerts = tuple(told)


def _wake(loop: asyncio.AbstractEventLoop, news: asyncio.Event) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody wants to know
        loop.call_soon_threadsafe(news.set)


def _unseen(uuid: str) -> GpuSeen:
    """A GPU that an earlier engine knew: its uuid is all that a program needs."""
    return GpuSeen(uuid, 0, "", "", None)


def _picture(seen: GpuSeen) -> object:
    """What of a device can change a decision."""
    processes = [(process.pid, process.owner, _coarse(process.memory)) for process in seen.processes]
    figures = (_coarse(seen.total), _coarse(seen.used), _coarse(seen.free))
    return (seen.uuid, seen.index, seen.health, seen.why, seen.listed, figures, processes)


def _coarse(amount: int | None) -> int | None:
    return None if amount is None else amount // _GRAIN
