"""What it costs in joules to keep CPUs and devices ready for a plan, and to let them work."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Watts(NamedTuple):
    """What one CPU and one device draw, ready and at work, where nothing better is known of a device."""

    cpu_idle: float = 3.0
    cpu: float = 12.0
    device_idle: float = 50.0
    device: float = 300.0


class Use(NamedTuple):
    """So much of something (CPUs, devices) between two moments, in seconds."""

    start: float
    end: float
    amount: float


def joules(uses: Iterable[Use], idle: float, work: float, ready: float | None = None) -> float:
    """The energy of these uses of one thing: `idle` and `work` are watts of one CPU or device.

        E = idle · ready · (last end - first start) + (work - idle) · Σ amount · (end - start)

    From the first start to the last end as many are kept ready as are in use at once at most (or as `ready` says), and
    each draws `idle` while it waits and `work` while it works. What the machine draws without them, and before and
    after, is not counted: it is on anyway. So fewer at a time are ready without work for less time, but the whole takes
    longer. A linear model of power over utilisation (X. Fan, W.-D. Weber and L. A. Barroso, "Power provisioning for a
    warehouse-sized computer", ISCA 2007).
    """
    uses = [use for use in uses if use.end > use.start and use.amount > 0]
    if not uses:
        return 0.0
    span = max(use.end for use in uses) - min(use.start for use in uses)
    worked = sum(use.amount * (use.end - use.start) for use in uses)
    kept = peak(uses) if ready is None else ready
    return idle * kept * span + (work - idle) * worked


def peak(uses: Iterable[Use]) -> float:
    """How much is in use at once at most. What ends within a microsecond of another's start makes room for it."""
    steps = sorted(step for use in uses for step in ((use.start, use.amount), (use.end - 1e-6, -use.amount)))
    most = now = 0.0
    for _, amount in steps:
        now += amount
        most = max(most, now)
    return most
