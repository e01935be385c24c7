"""Checks of the machine: control groups, GPUs, open files."""

from __future__ import annotations

import os
import resource
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from mcp_scheduler.cli.checks.finding import Finding
from mcp_scheduler.cli.text import plural, size

_FILES: Final = 1024


def check_cgroup(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Finding:
    """Whether the engine can put tasks into control groups of their own. Without them, process trees are still ended
    (by session, parents and an environment mark); only their memory cannot be capped by the kernel."""
    without = "tasks are ended by their process tree and an environment mark"
    if not (root / "cgroup.controllers").is_file():
        return Finding("OK", "cgroup", f"no cgroup v2 here: {without}")
    try:
        line = next(line for line in own.read_text(encoding="utf-8").splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return Finding("OK", "cgroup", f"not in a cgroup v2: {without}")
    folder = root / line.removeprefix("0::").lstrip("/")
    if folder != root and os.access(folder, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK):
        return Finding("OK", "cgroup", f"writable: {folder}")
    return Finding("OK", "cgroup", f"not writable: {without}")


def check_files() -> Finding:
    """How many files the engine may hold open: each client, worker and output needs some."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= _FILES:
        return Finding("OK", "open files", f"limit {soft}")
    return Finding("WARN", "open files", f"limit {soft} (hard {hard})", f"ulimit -n {_FILES} before the engine starts.")


def check_gpus() -> Finding:
    """What NVML, the driver's own library, says. No GPU is a normal state."""
    try:
        nvml: Any = import_module("pynvml")  # it has no types, and no other verb needs it
    except ImportError:
        return Finding("WARN", "gpus", "the package nvidia-ml-py is missing", "pip install nvidia-ml-py")
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return _without_nvml(type(error).__name__.removeprefix("NVMLError_"), str(error))
    try:
        names = [_described(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]
        driver = nvml.nvmlSystemGetDriverVersion()
    except nvml.NVMLError as error:
        return Finding("WARN", "gpus", f"NVML answers with: {error}", "Look at `nvidia-smi` and `dmesg`.")
    finally:
        nvml.nvmlShutdown()
    return Finding(
        "OK", "gpus", f"driver {driver}, {plural(len(names), 'GPU')}" + "".join(f"; {name}" for name in names)
    )


def _described(nvml: Any, index: int) -> str:
    gpu = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = nvml.nvmlDeviceGetMemoryInfo(gpu)
    return f"{index}: {nvml.nvmlDeviceGetName(gpu)}, {size(memory.free)} of {size(memory.total)} free"


def _without_nvml(kind: str, text: str) -> Finding:
    if kind == "LibraryNotFound":
        return Finding("OK", "gpus", "none: there is no NVIDIA driver on this machine")
    if kind == "LibRmVersionMismatch":
        return Finding(
            "WARN", "gpus", "the driver's library and its kernel module differ", "Reboot, or reload the module."
        )
    return Finding("WARN", "gpus", f"NVML does not start: {text}", "Look at `nvidia-smi`. Work on CPUs goes on.")
