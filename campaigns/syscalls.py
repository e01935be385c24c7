"""Syscall campaign: `python -m campaigns.syscalls --every 1`.

One scenario (submit functions and a command, run them, cancel one, prune) is played again and again. Each time one
operation on the disk is hit, the next one the next time: its process is killed there, or it fails once with EIO or
ENOSPC, or there is no room from then on until the client frees it. Afterwards whoever is needed is started again, the
client repeats what was not acknowledged, and the judge looks.
"""

from __future__ import annotations

import argparse
import errno
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from random import Random

from campaigns.disk import Disk, Fault
from campaigns.house import House, opened
from campaigns.judge import Verdict, conclude
from campaigns.play import KEPT, Play

SETTINGS = {
    "MCP_SCHEDULER_POOL__CPUS": "2",
    "MCP_SCHEDULER_POOL__GRACE": "0.2",
    "MCP_SCHEDULER_QUEUE__KEEP_TASKS": str(KEPT),
    "MCP_SCHEDULER_POOL__GPUS": "false",
}
RECOVERY = 5.0  # seconds after a fault until all is well


@dataclass(frozen=True)
class Kind:
    """One kind of fault."""

    name: str
    fault: Fault
    error: int = 0


KINDS: Sequence[Kind] = (
    Kind("kill", Fault.KILL),
    Kind("EIO", Fault.ONCE, errno.EIO),
    Kind("ENOSPC", Fault.ONCE, errno.ENOSPC),
    Kind("no room until it is freed", Fault.FROM_THEN_ON, errno.ENOSPC),
)


@dataclass
class Course:
    """What happened."""

    operations: int = 0
    dealt: Counter[str] = field(default_factory=Counter[str])
    tally: Counter[str] = field(default_factory=Counter[str])
    slowest: float = 0.0
    violations: list[str] = field(default_factory=list[str])


def campaign(house: House, every: int, seed: int, recovery: float = RECOVERY, seconds: float = inf) -> Verdict:
    """Every `every`-th operation of the scenario, from a random first one on, for each kind of fault, in random order;
    after so many `seconds` no more are dealt."""
    homes = house.folder / "homes"
    homes.mkdir()
    disk = Disk(house.folder, homes)
    house.settings |= disk.environment()
    course, begun = Course(), time.monotonic()
    with Play(house, disk, homes) as play:
        disk.order(Fault.ONCE, at=0)  # nothing is hit, all is counted
        course.violations += [f"without any fault: {sentence}" for sentence in play.through(None)]
        course.operations = disk.orders.count
        hits = list(_hits(course.operations, every, Random(seed)))
        Random(f"{seed} order").shuffle(hits)
        for kind, at in hits:
            if time.monotonic() - begun > seconds:
                break
            _one(play, disk, kind, at, course, recovery)
    course.violations += [f"left over: {process}" for process in house.left_over()]
    return Verdict(
        {
            "seed": seed,
            "operations of the scenario": course.operations,
            "faults dealt": f"{course.dealt.total()} (of {len(hits)} chosen): {_told(course.dealt)}",
            "what came of them": _told(course.tally),
            "slowest recovery": f"{course.slowest:.2f} s",
            "broken": len(course.violations),
            "seconds in all": f"{time.monotonic() - begun:.0f}",
        },
        course.violations,
    )


def _hits(operations: int, every: int, chance: Random) -> Iterator[tuple[Kind, int]]:
    for kind in KINDS:
        for at in range(1 + chance.randrange(every), operations + 1, every):
            yield kind, at


def _one(play: Play, disk: Disk, kind: Kind, at: int, course: Course, recovery: float) -> None:
    disk.order(kind.fault, at, kind.error, writes_only=True)
    found = play.through(recovery)
    course.dealt[kind.name] += bool(play.hits)
    course.tally.update(play.tally)
    course.slowest = max(course.slowest, play.recovery)
    course.violations += [f"{kind.name} at operation {at}: {sentence}" for sentence in found]


def _told(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counter.most_common()) or "nothing"


def main() -> int:
    """Exit code 0 when nothing was lost, half or corrupt."""
    parser = argparse.ArgumentParser("python -m campaigns.syscalls", description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="hit every n-th operation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=inf, help="deal no more faults after so many")
    given = parser.parse_args()
    with opened(SETTINGS) as house:
        verdict = campaign(house, given.every, given.seed, seconds=given.seconds)
    return conclude(verdict)


if __name__ == "__main__":
    sys.exit(main())
