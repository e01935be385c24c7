"""What is wrong with the GPUs in words for a person: what it is, and what to do about it."""

from __future__ import annotations

from typing import Final

from mcp_scheduler.core.seen import Health
from mcp_scheduler.telemetry import nvml

NO_LIBRARY: Final = "No NVIDIA driver on this machine."

_DRIVER: Final = {
    nvml.LIBRARY_NOT_FOUND: NO_LIBRARY,
    nvml.DRIVER_NOT_LOADED: (
        "The NVIDIA driver is installed but not loaded. Load it (sudo modprobe nvidia) or reboot; where Secure Boot is"
        " on, its module may have to be signed first."
    ),
    nvml.MISMATCH: (
        "The NVIDIA driver in the kernel and its library are of different versions, as after a package upgrade."
        " Reboot, or reload the kernel modules and then restart this engine: it keeps the old library loaded."
    ),
    nvml.NO_PERMISSION: "This user may not talk to the NVIDIA driver. Check the access rights of /dev/nvidia*.",
    nvml.UNKNOWN: (
        "The NVIDIA driver answers with an unknown error. In a container this happens when it has lost its devices,"
        " as after `systemctl daemon-reload` on the host: restart the container. Else look into `dmesg` and reboot."
    ),
}
_DEVICE: Final = {
    nvml.LOST: (Health.LOST, "The driver has lost the GPU: it fell off the bus or is being reset. Look into `dmesg`"),
    nvml.NOT_FOUND: (Health.LOST, "The driver does not find the GPU. Look into `dmesg`"),
    nvml.RESET_REQUIRED: (Health.QUARANTINED, "The GPU needs a reset (sudo nvidia-smi --gpu-reset) or a reboot"),
    nvml.UNKNOWN: (Health.SILENT, "The driver cannot talk to the GPU (unknown error). Look into `dmesg`"),
}
# What the driver asks for, by its number: the consequence and the words.
RECOVERY: Final = {
    1: (Health.QUARANTINED, "The driver asks for a reset of the GPU (sudo nvidia-smi --gpu-reset)"),
    2: (Health.QUARANTINED, "The driver asks for a reboot of this machine"),
    3: (Health.DRAINING, "The driver asks to end peer-to-peer work on the GPU, then to reset it"),
    4: (Health.DRAINING, "The driver asks to end the work on the GPU, then to reset it"),
    5: (Health.QUARANTINED, "The driver asks to recover the IMEX domain"),
    6: (Health.QUARANTINED, "The driver asks for a reset of the GPU's bus"),
    7: (Health.QUARANTINED, "The driver asks for a reboot of this machine"),
}
ROWS_WAIT: Final = "A bad memory row waits for its replacement, which a reset of the GPU does"
ROWS_FAILED: Final = "A bad memory row could not be replaced: the GPU needs service"


def of_the_driver(trouble: nvml.Trouble) -> str:
    return _DRIVER.get(trouble.code, f"The NVIDIA driver cannot be used: {trouble}.")


def of_the_device(trouble: nvml.Trouble) -> tuple[Health, str]:
    return _DEVICE.get(trouble.code, (Health.SILENT, f"The GPU cannot be used: {trouble}"))


def silence(seconds: float) -> str:
    return (
        f"The NVIDIA driver has not answered for {seconds:.0f} s, as during a reset or a hang. GPUs are not"
        " offered until it does; if it never does, reboot."
    )


NO_INSTANCES: Final = "has MIG switched on but no instances, so there is nothing to offer. Create some (nvidia-smi mig)"
"""Follows the name of a GPU."""
