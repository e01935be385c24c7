"""Pressure stall information of the kernel: the share of the last ten seconds in which work stood still for want of a
processor, memory or the disk (Documentation/accounting/psi.rst). Where the kernel does not keep it, nothing is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

FOLDER: Final = Path("/proc/pressure")
_KINDS: Final = {"cpu": "cpu_pressure", "memory": "memory_pressure", "io": "disk_pressure"}


def pressures(folder: Path = FOLDER) -> Iterator[tuple[str, float]]:
    """(name, percent of the time in which some of the work waited), as far as it is told."""
    for kind, name in _KINDS.items():
        try:
            first = (folder / kind).read_text(encoding="ascii").split(maxsplit=2)
        except OSError:
            continue
        if len(first) > 1 and first[0] == "some" and first[1].startswith("avg10="):
            yield name, float(first[1].removeprefix("avg10="))
