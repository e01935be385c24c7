"""Xid errors: what the driver reports when something breaks on a GPU, and what follows from it."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, Final

from mcp_scheduler.core.seen import Health
from mcp_scheduler.telemetry.nvml import OF_THE_DRIVER, TIMEOUT, Nvml, Trouble

_QUARANTINING: Final = {
    48: "a memory error that could not be corrected",
    62: "an internal halt of a controller",
    64: "a failed replacement of a memory row",
    74: "an NVLink error",
    79: "the GPU has fallen off the bus",
    95: "a memory error that could not be contained",
    119: "the GPU's system processor does not answer",
    120: "an error of the GPU's system processor",
}
_DRAINING: Final = {
    63: "a memory row waits for its replacement",
    94: "a contained memory error",
}
_CRITICAL: Final = 8  # nvmlEventTypeXidCriticalError
_MOST: Final = 64  # events taken at one look: a storm does not keep us from looking
_PATIENCE: Final = 3  # failed waits before the listening is begun anew


@dataclass(frozen=True, slots=True)
class Xid:
    """One reported error; `uuid` is "" where the driver does not say whose.

    Numbers that are not listed here are the application's: its task fails, the GPU is fine.
    """

    uuid: str
    number: int
    at: float

    @property
    def health(self) -> Health:
        if self.number in _QUARANTINING:
            return Health.QUARANTINED
        return Health.DRAINING if self.number in _DRAINING else Health.OK

    @property
    def text(self) -> str:
        meaning = _QUARANTINING.get(self.number) or _DRAINING.get(self.number) or "an error of the program that ran"
        return f"Xid {self.number}: {meaning}"


class XidEvents:
    """Listens to the driver's error events. Where it has none (an old driver, no permission) nothing is heard."""

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml
        self._set: Any = None
        self._listening: dict[int | None, str] = {}  # address of the handle → uuid: a lost GPU cannot say its own
        self._failures = 0

    def listen(self, uuid: str, handle: Any) -> None:
        """Hear of this device from now on; again is the same as once."""
        if uuid in self._listening.values():
            return
        if self._set is None:
            self._set = self._nvml.hope("nvmlEventSetCreate")
            if self._set is None:
                return
        self._nvml.hope("nvmlDeviceRegisterEvents", handle, _CRITICAL, self._set)
        self._listening[_address(handle)] = uuid

    def take(self, now: float) -> list[Xid]:
        """What was reported since the last time, without waiting."""
        found: list[Xid] = []
        while self._set is not None and len(found) < _MOST:
            try:
                event = self._nvml.ask("nvmlEventSetWait", self._set, 1)
            except Trouble as trouble:
                self._failed(trouble)
                break
            self._failures = 0
            if event.eventType & _CRITICAL:
                found.append(Xid(self._listening.get(_address(event.device), ""), int(event.eventData), now))
        return found

    def _failed(self, trouble: Trouble) -> None:
        if trouble.code == TIMEOUT:
            self._failures = 0
            return
        self._failures += 1
        if self._failures >= _PATIENCE or trouble.code in OF_THE_DRIVER:
            self.forget()

    def forget(self) -> None:
        """Begin anew at the next `listen`: after a lost driver, old handles mean nothing."""
        if self._set is not None:
            old, self._set = self._set, None
            self._nvml.hope("nvmlEventSetFree", old)
        self._listening.clear()
        self._failures = 0


def _address(handle: Any) -> int | None:
    return ctypes.cast(handle, ctypes.c_void_p).value
