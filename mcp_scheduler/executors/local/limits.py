"""The measures of the local executor, each with its default."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field

MIB = 1 << 20


def idle_of(cpus: float | None = None) -> int:
    """As many warm workers as can be at work at once on so many CPUs (by default the host's), and one."""
    return math.ceil(cpus or os.cpu_count() or 1) + 1


@dataclass(frozen=True, slots=True)
class Limits:
    """`grace`: seconds between the polite and the forced end of a call. `head`, `tail`: bytes kept of each stream.
    `idle`: warm workers kept per environment, each for at most `idle_seconds`. A worker is replaced after
    `calls` calls, or when it has grown by `growth` bytes."""

    grace: float = 5.0
    head: int = MIB
    tail: int = MIB
    idle: int = field(default_factory=idle_of)
    idle_seconds: float = 300.0
    calls: int = 20_000
    growth: int = 1 << 30
