"""How much of a device's memory can be promised: what the driver shows, what we have promised, what others use.

    free = capacity - foreign - sum over our tenants of max(promised, in use) - headroom

A promise counts in full before its tenant has allocated anything: nobody else gets the room it is about to fill. Where
every process is told apart, all use that is not our tenants' is foreign. Where our own use may hide among it (a
container sees the host's pids, the driver says N/A), foreign is at least what was there before our first tenant came
and what exceeds our promises; the rest is taken for our tenants', so nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

from mcp_scheduler.core.seen import GpuSeen, Use

MIB: Final = 2**20
CONTEXT: Final = 512 * MIB  # what a CUDA context costs beside the memory that a task asks for, until it is measured
HEADROOM: Final = 512 * MIB
HEADROOM_SHARE: Final = 0.02
USED_SHARE: Final = 0.1  # a device of which more is in use does not count as whole


@dataclass(frozen=True, slots=True)
class Account:
    """One device in bytes. `free` may be negative: then more is promised or in use than there is.

    `unexplained` is use that belongs to no process whose owner and memory are known. `allocated` has the tenants
    whose use is known.
    """

    free: int = 0
    foreign: int = 0
    promised: int = 0
    unexplained: int = 0
    allocated: Mapping[str, int] = field(default_factory=dict[str, int])


def account(
    seen: GpuSeen, promises: Mapping[str, int], baseline: int = 0, gone: AbstractSet[str] = frozenset()
) -> Account:
    """The account of a device. `promises`: bytes per tenant; `baseline`: unexplained use before the first of them;
    `gone`: owners whose processes have ended since the device was seen."""
    if not seen.live:
        promised = sum(promises.values())
        return Account(free=(seen.total or 0) - promised, promised=promised)
    if seen.total is None or seen.used is None or seen.free is None:
        return Account(promised=sum(promises.values()))
    others, allocated, hidden = _split(seen, promises, gone)
    unexplained = max(0, seen.used - _of_the_dead(seen, gone) - others - sum(allocated.values()))
    foreign = others + unexplained
    if hidden and promises:
        room = sum(max(0, promise - allocated.get(tenant, 0)) for tenant, promise in promises.items())
        foreign = others + max(min(baseline, unexplained), unexplained - room)
    promised = sum(max(promise, allocated.get(tenant, 0)) for tenant, promise in promises.items())
    free = seen.used + seen.free - foreign - promised - headroom(seen.total)
    return Account(free, foreign, promised, unexplained, allocated)


def headroom(total: int) -> int:
    """Bytes of a device that are never promised."""
    return max(HEADROOM, int(total * HEADROOM_SHARE))


def is_untouched(seen: GpuSeen, gone: AbstractSet[str] = frozenset()) -> bool:
    """Whether a device without tenants is whole: no compute process, and nine tenths free. What a desktop draws with
    does not count. Where the memory is unknown or is the host's, only the processes decide."""
    living = [process for process in seen.processes if process.owner not in gone]
    if not living and not seen.used:
        return True
    if any(process.use is Use.COMPUTE for process in living):
        return False
    if seen.unified or seen.used is None or seen.free is None:
        return True
    if any(process.memory is None for process in living):
        return True  # a desktop of unknown size: what is in use may all be its
    drawing = sum(process.memory or 0 for process in living)
    return seen.used - drawing - _of_the_dead(seen, gone) <= USED_SHARE * (seen.used + seen.free)


def _of_the_dead(seen: GpuSeen, gone: AbstractSet[str]) -> int:
    return sum(process.memory or 0 for process in seen.processes if process.owner in gone) if gone else 0


def _split(seen: GpuSeen, promises: Mapping[str, int], gone: AbstractSet[str]) -> tuple[int, dict[str, int], bool]:
    """What others certainly use, what each tenant is known to use, and whether use of ours may be hidden."""
    others = 0
    allocated: dict[str, int] = {}
    unknown: set[str] = set()
    hidden = not seen.listed
    for process in seen.processes:
        owner, memory = process.owner, process.memory
        if owner is None:
            hidden = True
        elif owner in promises:
            if memory is None:
                unknown.add(owner)
            allocated[owner] = allocated.get(owner, 0) + (memory or 0)
        elif owner not in gone:
            others += memory or 0
    for owner in unknown:
        del allocated[owner]
    return others, allocated, hidden or bool(unknown)
