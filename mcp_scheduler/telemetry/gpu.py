"""The GPUs of this host, looked at by one thread of their own. The rest of the program only reads the last snapshot.

A driver that fails, or never answers, costs the GPUs and nothing else: work on the CPU goes on, an alert says what is
wrong, and the sensor tries again after 5 s, then less often, at least once a minute.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from mcp_scheduler.core.seen import CUDA, GpuSeen, Health
from mcp_scheduler.telemetry import alerts
from mcp_scheduler.telemetry.nvml import LIBRARY, LIBRARY_NOT_FOUND, Nvml, Trouble
from mcp_scheduler.telemetry.readings import Look, Readings
from mcp_scheduler.telemetry.visible import allowed
from mcp_scheduler.telemetry.xids import Xid, XidEvents

LOG: Final = logging.getLogger("mcp_scheduler.gpu")
_CALM: Final = 3  # looks at which the driver asks for nothing, before an Xid's quarantine is lifted
_XIDS_KEPT: Final = 32


@dataclass(frozen=True, slots=True)
class GpuSnapshot:
    """What is known of the GPUs. `at` is the sensor's clock; `absent` says why there are no live GPUs, "" if there
    are; `alerts` are for a person; `xids` the latest errors, the application's included. `stale`: the driver does not
    answer, and the figures are old."""

    at: float = 0.0
    gpus: tuple[GpuSeen, ...] = ()
    absent: str = "The GPUs have not been looked at yet."
    alerts: tuple[str, ...] = ()
    driver: str = ""
    xids: tuple[Xid, ...] = ()
    stale: bool = False


def _nobody(_pid: int) -> str | None:
    return ""


class GpuSensor:
    """`start` it once, read `snapshot` from any thread: it never blocks. `on_snapshot` is called in the sensor's thread
    after each look; a driver that does not answer shows only in `snapshot`.

    `visible` is CUDA_VISIBLE_DEVICES as the engine inherited it (None: all). `interval` seconds lie between two looks,
    `busy_interval` while `watch(True)` holds; more where looks are slow, so that they take no larger share of the time
    than `shares` (idle, busy). A call that takes longer than `patience` makes the snapshot stale.
    """

    def __init__(
        self,
        tenant_of: Callable[[int], str | None] = _nobody,
        *,
        visible: str | None = None,
        declared: tuple[GpuSeen, ...] = (),
        on_snapshot: Callable[[GpuSnapshot], None] | None = None,
        interval: float = 5.0,
        busy_interval: float = 0.25,
        shares: tuple[float, float] = (0.004, 0.05),
        patience: float = 5.0,
        retry: tuple[float, float] = (5.0, 60.0),
        library: str = LIBRARY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nvml = Nvml(library)
        self._readings = Readings(self._nvml, tenant_of)
        self._events = XidEvents(self._nvml)
        self._visible = visible
        self._declared = declared
        self._on_snapshot = on_snapshot
        self._intervals = (interval, busy_interval)
        self._shares = shares
        self._is_busy = False
        self._patience = patience
        self._retry = retry
        self._pause = retry[0]
        self._clock = clock
        self._snapshot = GpuSnapshot(gpus=declared)
        self._xids: list[Xid] = []
        self._quarantine: dict[str, tuple[Xid, int]] = {}  # GPU → why, and calm looks since
        self._looking_since: float | None = None
        self._wake = threading.Event()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="gpu-sensor", daemon=True)

    # -- for everybody

    def start(self) -> None:
        self._thread.start()

    def close(self, wait: float = 1.0) -> None:
        """End the thread. One that hangs in the driver is left behind: it ends with the process."""
        self._is_closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(wait)

    def snapshot(self) -> GpuSnapshot:
        """The latest look. While the driver does not answer: the last one, with every live GPU silent."""
        last, since = self._snapshot, self._looking_since
        seconds = 0.0 if since is None else self._clock() - since
        if seconds <= self._patience:
            return last
        text = alerts.silence(seconds)
        gpus = tuple(replace(seen, health=Health.SILENT, why=text) if seen.live else seen for seen in last.gpus)
        return replace(last, gpus=gpus, alerts=(text, *last.alerts), stale=True)

    def watch(self, is_busy: bool) -> None:
        """Whether tasks run on GPUs: then looks are frequent, so that peaks are seen."""
        if is_busy != self._is_busy:
            self._is_busy = is_busy
            self._wake.set()

    def poke(self) -> None:
        """Look again now, as after a task's end."""
        self._wake.set()

    def forgive(self, uuid: str) -> None:
        """A person says that the device is well again: its Xid errors do not count any more."""
        self._quarantine.pop(uuid, None)
        self._wake.set()

    # -- the thread

    def _run(self) -> None:
        while not self._is_closing:
            self._looking_since = self._clock()
            try:
                pause = self._look()
            except Exception:
                LOG.exception("The look at the GPUs failed.")
                pause = self._fail(
                    "The GPUs cannot be looked at: a defect of this program, see the log.", is_alert=True
                )
            finally:
                self._looking_since = None
            self._tell()
            self._wake.wait(pause)
            self._wake.clear()
        self._leave()

    def _tell(self) -> None:
        if self._on_snapshot is None:
            return
        try:
            self._on_snapshot(self._snapshot)
        except Exception:
            LOG.exception("Nobody could be told of the GPUs.")

    def _leave(self) -> None:
        self._events.forget()
        self._nvml.close()

    def _look(self) -> float:
        """One look; the seconds until the next."""
        try:
            self._nvml.open()
            look = self._readings.look()
        except Trouble as trouble:
            self._leave()
            return self._fail(alerts.of_the_driver(trouble), is_alert=trouble.code != LIBRARY_NOT_FOUND)
        for uuid, handle in look.handles.items():
            self._events.listen(uuid, handle)
        self._heed(self._events.take(self._clock()))
        self._pause = self._retry[0]
        self._calm(look)
        self._publish(look)
        return self._until_next()

    def _until_next(self) -> float:
        """Seconds, at most a minute (busy: the idle interval), however slow the driver is."""
        took = self._clock() - (self._looking_since or 0.0)
        pause = max(self._intervals[self._is_busy], took / self._shares[self._is_busy])
        return min(pause, max(self._intervals) if self._is_busy else self._retry[1])

    def _heed(self, xids: list[Xid]) -> None:
        for xid in xids:
            LOG.warning("%s on %s", xid.text, xid.uuid)
            worst = self._quarantine.get(xid.uuid)
            if xid.health is Health.QUARANTINED or (xid.health is Health.DRAINING and worst is None):
                self._quarantine[xid.uuid] = (xid, 0)
        self._xids = (self._xids + xids)[-_XIDS_KEPT:]

    def _calm(self, look: Look) -> None:
        """Where the driver itself says that nothing is to be done, an Xid's verdict is lifted after a few looks.
        A driver that cannot say so keeps its GPU in quarantine until a person or a restart decides."""
        for uuid, (xid, calm) in list(self._quarantine.items()):
            handle = look.handles.get(uuid)
            if handle is None or self._action(handle) != 0:
                self._quarantine[uuid] = (xid, 0)
            elif calm + 1 >= _CALM:
                self._quarantine.pop(uuid, None)
            else:
                self._quarantine[uuid] = (xid, calm + 1)

    def _action(self, handle: Any) -> int | None:
        try:
            return self._nvml.recovery_action(handle)
        except Trouble:
            return None

    def _publish(self, look: Look) -> None:
        judged = [self._judged(seen) for seen in look.gpus]
        told = [
            f"{seen.short} ({seen.label}): {seen.why}."
            for seen, old in zip(judged, look.gpus, strict=True)
            if seen is not old
        ]
        gpus = (*allowed(self._visible, judged), *self._declared)
        absent = "" if look.gpus else "The NVIDIA driver lists no GPU."
        if look.gpus and not any(seen.live for seen in gpus):
            absent = f"{CUDA}={self._visible!r} in the engine's environment hides every GPU."
        self._set(
            GpuSnapshot(self._clock(), gpus, absent, (*told, *look.alerts), self._nvml.driver(), tuple(self._xids))
        )

    def _judged(self, seen: GpuSeen) -> GpuSeen:
        """The device with what its Xid errors mean for it."""
        verdict = self._quarantine.get(seen.parent or seen.uuid)
        if verdict is None or not seen.healthy:
            return seen
        xid = verdict[0]
        return replace(seen, health=xid.health, why=f"{xid.text}. Look into `dmesg`; then resume the device")

    def _fail(self, text: str, *, is_alert: bool) -> float:
        """No live GPU can be used. Those that were there stay known, as silent."""
        gpus = (*allowed(self._visible, self._readings.silent(text)), *self._declared)
        self._set(GpuSnapshot(self._clock(), gpus, text, (text,) if is_alert else (), "", tuple(self._xids)))
        pause, self._pause = self._pause, min(self._pause * 2, self._retry[1])
        return pause

    def _set(self, snapshot: GpuSnapshot) -> None:
        for text in snapshot.alerts:
            if text not in self._snapshot.alerts:
                LOG.warning("%s", text)
        self._snapshot = snapshot
