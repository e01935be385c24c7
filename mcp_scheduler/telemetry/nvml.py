"""NVML through the official binding, narrowed to what the scheduler asks. Never touches CUDA.

The binding is imported only where the driver's library exists: a machine without GPUs does not pay for it. All calls
block, some for seconds and one, during a reset, for ever: only the sensor's own thread makes them.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from typing import Any, Final

LIBRARY: Final = "libnvidia-ml.so.1"

# NVML's error numbers, as far as they decide what to do.
UNINITIALIZED: Final = 1
NO_PERMISSION: Final = 4
DRIVER_NOT_LOADED: Final = 9
TIMEOUT: Final = 10
LIBRARY_NOT_FOUND: Final = 12
LOST: Final = 15
RESET_REQUIRED: Final = 16
MISMATCH: Final = 18
NOT_FOUND: Final = 28
UNKNOWN: Final = 999

OF_THE_DRIVER: Final = frozenset({UNINITIALIZED, DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND, MISMATCH})
OF_THE_DEVICE: Final = frozenset({LOST, RESET_REQUIRED, NOT_FOUND})


def is_installed(library: str = LIBRARY) -> bool:
    """Whether there is a driver's library at all. Cheap, and touches no driver."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


class Trouble(Exception):
    """NVML refused a call. `code` is NVML's number for why, `call` the function that said so."""

    def __init__(self, code: int, call: str, text: str = "") -> None:
        self.code = code
        self.call = call
        self.text = text
        super().__init__(f"{call}: {text or 'NVML error'} ({code})")


class Nvml:
    """A session with the driver. `open` may be called again after `close`, as after a driver's return."""

    def __init__(self, library: str = LIBRARY) -> None:
        self._library = library
        self._binding: Any = None
        self._is_open = False

    def open(self) -> None:
        """Errors: `Trouble`, when there is no library, no driver, or they do not match."""
        if self._is_open:
            return
        try:
            ctypes.CDLL(self._library)
        except OSError as error:
            raise Trouble(LIBRARY_NOT_FOUND, "dlopen", str(error)) from None
        self._binding = importlib.import_module("pynvml")
        self.ask("nvmlInit")
        self._is_open = True

    def close(self) -> None:
        """Leave the driver, in whatever trouble it is."""
        if self._is_open:
            self._is_open = False
            self.hope("nvmlShutdown")

    def ask(self, call: str, *arguments: Any, **options: Any) -> Any:
        """Call one of the binding's functions. Errors: `Trouble`."""
        function: Callable[..., Any] = getattr(self._binding, call)
        try:
            return function(*arguments, **options)
        except self._binding.NVMLError as error:
            raise Trouble(error.value, call, str(error)) from None

    def wish(self, call: str, *arguments: Any, **options: Any) -> Any:
        """The same for something that a device or an old driver may not know: None then.

        Errors: `Trouble`, when the device or the driver itself is in trouble.
        """
        if not hasattr(self._binding, call):
            return None  # an older binding than the call
        try:
            return self.ask(call, *arguments, **options)
        except Trouble as trouble:
            if trouble.code in OF_THE_DEVICE | OF_THE_DRIVER:
                raise
            return None

    def hope(self, call: str, *arguments: Any) -> Any:
        """The same where trouble changes nothing: None then."""
        try:
            return self.wish(call, *arguments)
        except Trouble:
            return None

    def constant(self, name: str, otherwise: int) -> int:
        return int(getattr(self._binding, name, otherwise))

    def driver(self) -> str:
        return str(self.wish("nvmlSystemGetDriverVersion") or "")

    # -- devices

    def handles(self) -> list[Any]:
        """A handle for each GPU in PCI order, or the `Trouble` that stands in its place."""
        found: list[Any] = []
        for index in range(self.ask("nvmlDeviceGetCount")):
            try:
                found.append(self.ask("nvmlDeviceGetHandleByIndex", index))
            except Trouble as trouble:
                if trouble.code in OF_THE_DRIVER:
                    raise
                found.append(trouble)
        return found

    def instances(self, handle: Any) -> list[tuple[int, Any]] | None:
        """The MIG instances of a GPU with their numbers; None if MIG is off. They change with each partition."""
        mode = self.wish("nvmlDeviceGetMigMode", handle)
        if not mode or not mode[0]:
            return None
        found: list[tuple[int, Any]] = []
        for number in range(self.wish("nvmlDeviceGetMaxMigDeviceCount", handle) or 0):
            instance = self.wish("nvmlDeviceGetMigDeviceHandleByIndex", handle, number)
            if instance is not None:
                found.append((number, instance))
        return found

    def bus(self, handle: Any) -> str:
        """The PCI address as `0000:3b:00`; "" where there is none."""
        pci = self.wish("nvmlDeviceGetPciInfo", handle)
        return "" if pci is None else f"{pci.domain:04x}:{pci.bus:02x}:{pci.device:02x}"

    def memory(self, handle: Any) -> tuple[int, int, int] | None:
        """(total, used, free) in bytes, the driver's own reserve in neither of the last two where it tells it apart.
        None where the device does not say. Errors: `Trouble`."""
        told = self.wish("nvmlDeviceGetMemoryInfo", handle, version=self.constant("nvmlMemory_v2", 0x02000028))
        if told is None:
            try:
                told = self.ask("nvmlDeviceGetMemoryInfo", handle)
            except Trouble as trouble:
                if trouble.code in OF_THE_DEVICE | OF_THE_DRIVER | {UNKNOWN}:
                    raise
                return None
        return int(told.total), int(told.used), int(told.free)

    def processes(self, handle: Any) -> list[tuple[int, int | None, bool]] | None:
        """(pid, bytes or None, computes) of each process on the device; None where they cannot be listed."""
        computing = self._listed("Compute", handle)
        if computing is None:
            return None
        sharing = self._listed("MPSCompute", handle) or []
        drawing = self._listed("Graphics", handle) or []
        found: dict[int, tuple[int, int | None, bool]] = {}
        for computes, rows in ((True, computing), (True, sharing), (False, drawing)):
            for row in rows:
                found.setdefault(row.pid, (row.pid, row.usedGpuMemory, computes))
        return list(found.values())

    def _listed(self, use: str, handle: Any) -> list[Any] | None:
        for version in ("_v3", "_v2"):  # drivers before 2022 have the second only
            rows = self.wish(f"nvmlDeviceGet{use}RunningProcesses{version}", handle)
            if rows is not None:
                return list(rows)
        return None

    def utilisation(self, handle: Any) -> int | None:
        rates = self.wish("nvmlDeviceGetUtilizationRates", handle)
        return None if rates is None else int(rates.gpu)

    # -- health

    def recovery_action(self, handle: Any) -> int | None:
        """What the driver wants done about the device, 0 for nothing; None where it is too old to say."""
        field = self.constant("NVML_FI_DEV_GET_GPU_RECOVERY_ACTION", 230)
        told = self.wish("nvmlDeviceGetFieldValues", handle, [field])
        return int(told[0].value.uiVal) if told is not None and told[0].nvmlReturn == 0 else None

    def bad_rows(self, handle: Any) -> tuple[bool, bool]:
        """Whether memory rows wait for their replacement, and whether a replacement failed."""
        told = self.wish("nvmlDeviceGetRemappedRows", handle)
        return (False, False) if told is None else (bool(told[2]), bool(told[3]))
