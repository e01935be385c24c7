"""Syscall campaign: `python -m campaigns.syscalls --every 1`.

One scenario (submit functions and a command, run them, cancel one, prune, end) is played again and again. Each time one
operation on the disk is hit in each of its phases, the next one the next time: its process is killed there, or it fails
once with EIO or ENOSPC, or there is no room from then on until the client frees it. Afterwards whoever is needed is
started again, the client repeats what was not acknowledged, and the phase goes on to its end; the judge looks when the
last one has ended.

Several scenarios are played at a time, each in a lane of its own: on a disk, a home and with engines that no other
lane sees. The faults of those that broke a promise are dealt again each by itself, with no lane beside it; so are those
of the slowest, if all was well again only after the limit.
"""

from __future__ import annotations

import argparse
import errno
import heapq
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import zip_longest
from math import inf
from operator import itemgetter
from random import Random
from threading import Lock

from campaigns.disk import Disk, Fault
from campaigns.house import House, opened
from campaigns.judge import Verdict, conclude
from campaigns.play import KEPT, PHASES, Blow, Play

SETTINGS = {
    "MCP_SCHEDULER_POOL__CPUS": "2",
    "MCP_SCHEDULER_POOL__GRACE": "0.2",
    "MCP_SCHEDULER_QUEUE__KEEP_TASKS": str(KEPT),
    "MCP_SCHEDULER_POOL__GPUS": "false",
}
RECOVERY = 5.0  # seconds from a fault until its phase is through
LANES = 8
SLOWEST = 20  # scenarios whose faults are dealt again one by one
TOLD = 100  # faults, after which a line says how far it has come


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
    Kind("full", Fault.FROM_THEN_ON, errno.ENOSPC),  # no room until it is freed
)


@dataclass(frozen=True)
class Hit:
    """A fault and its place, as `kill@work:17`: the 17th operation of that phase."""

    kind: Kind
    phase: str
    at: int

    def __str__(self) -> str:
        return f"{self.kind.name}@{self.phase}:{self.at}"

    @property
    def blow(self) -> Blow:
        return Blow(self.kind.fault, self.at, self.kind.error)

    @classmethod
    def read(cls, text: str) -> Hit:
        """What `str` has written. ValueError, KeyError: it has not."""
        name, _, place = text.partition("@")
        phase, _, at = place.partition(":")
        if phase not in PHASES:
            raise ValueError(f"{phase!r} is no phase of {', '.join(PHASES)}")
        return cls({kind.name: kind for kind in KINDS}[name], phase, int(at))


Scene = tuple[Hit, ...]  # at most one fault of each phase


@dataclass
class Course:
    """What is to come, and what happened."""

    scenes: deque[Scene]
    again: list[Scene] = field(default_factory=list[Scene])
    late: list[tuple[float, Scene]] = field(default_factory=list[tuple[float, Scene]])
    dealt: Counter[str] = field(default_factory=Counter[str])
    tally: Counter[str] = field(default_factory=Counter[str])
    slowest: float = 0.0  # seconds
    alone: float = 0.0
    violations: list[str] = field(default_factory=list[str])
    lock: Lock = field(default_factory=Lock)

    def broken(self, sentences: Iterable[str]) -> None:
        """Told at once: a campaign is long."""
        for sentence in sentences:
            self.violations.append(sentence)
            print(f"BROKEN: {sentence}", flush=True)


def campaign(
    house: House, every: int, seed: int, recovery: float = RECOVERY, seconds: float = inf, lanes: int = LANES,
    only: Sequence[Scene] = (),
) -> Verdict:  # fmt: skip
    """Every `every`-th operation of each phase, from a random first one on, for each kind of fault, in random order;
    after so many `seconds` no more are dealt. Or `only` these scenarios."""
    begun = time.monotonic()
    course = Course(deque(only))
    with ExitStack() as stack:
        plays = [stack.enter_context(Play(house, _disk(house, str(lane)), str(lane))) for lane in range(lanes)]
        operations = _counted(plays[0], course)
        if not only:
            course.scenes.extend(_scenes(operations, every, Random(seed)))
        chosen = sum(len(scene) for scene in course.scenes)
        pool = stack.enter_context(ThreadPoolExecutor(lanes))
        played = [pool.submit(_lane, play, course, recovery, begun + seconds, is_alone=False) for play in plays]
        for lane in played:
            lane.result()
        slowest = heapq.nlargest(SLOWEST, course.late, key=itemgetter(0))
        course.scenes = deque((hit,) for scene in (*course.again, *(scene for _, scene in slowest)) for hit in scene)
        _lane(plays[0], course, recovery, inf, is_alone=True)
    course.broken(f"left over: {process}" for process in house.left_over())
    return Verdict(
        {
            "seed": seed,
            "operations of the scenario": f"{sum(operations.values())}: {_told(operations)}",
            "faults dealt": f"{course.dealt.total()} (of {chosen} chosen): {_told(course.dealt)}",
            "what came of them": _told(course.tally),
            "scenarios that were slow beside others": f"{len(course.late)}, {len(slowest)} of them dealt again",
            "slowest recovery": f"{course.slowest:.2f} s, with nothing beside it {course.alone:.2f} s",
            "broken": len(course.violations),
            "seconds in all": f"{time.monotonic() - begun:.0f}, {lanes} at a time",
        },
        course.violations,
    )


def _scenes(operations: Mapping[str, int], every: int, chance: Random) -> Iterator[Scene]:
    """One fault of each phase in each, as long as there are some."""
    hits: list[list[Hit]] = []
    for phase, count in operations.items():
        hits.append(
            [Hit(kind, phase, at) for kind in KINDS for at in range(1 + chance.randrange(every), count + 1, every)]
        )
        chance.shuffle(hits[-1])
    for scene in zip_longest(*hits):
        yield tuple(hit for hit in scene if hit is not None)


def _disk(house: House, name: str) -> Disk:
    folder = house.folder / name
    (folder / "homes").mkdir(parents=True)
    return Disk(folder, folder / "homes")


def _counted(play: Play, course: Course) -> Counter[str]:
    """How many operations each phase has when nothing is hit."""
    course.broken(f"without any fault: {sentence}" for sentence in play.through({}))
    return Counter({phase: play.operations[phase] for phase in PHASES})


def _lane(play: Play, course: Course, recovery: float, until: float, *, is_alone: bool) -> None:
    """Play one scenario after the other until none is left. `is_alone`: with no lane beside this one."""
    while time.monotonic() < until:
        with course.lock:
            if not course.scenes:
                return
            scene = course.scenes.popleft()
        sentences = play.through({hit.phase: hit.blow for hit in scene})
        with course.lock:
            _note(course, play, scene, sentences, recovery, is_alone=is_alone)


def _note(course: Course, play: Play, scene: Scene, sentences: list[str], limit: float, *, is_alone: bool) -> None:
    told = "+".join(str(hit) for hit in scene if hit.phase in play.dealt) or "no fault"
    course.broken(f"{told}: {sentence}" for sentence in sentences)
    is_slow = play.recovery > limit
    if is_alone:
        course.broken([f"{told}: all was well again only after {play.recovery:.1f} s"] if is_slow else [])
    else:
        course.dealt.update(hit.kind.name for hit in scene if hit.phase in play.dealt)
        if sentences:
            course.again.append(scene)
        elif is_slow:
            course.late.append((play.recovery, scene))
    course.slowest = max(course.slowest, play.recovery)
    course.alone = max(course.alone, play.recovery * is_alone)
    course.tally.update(play.tally)
    done = course.dealt.total()
    if done % TOLD < len(scene):
        print(f"{done} dealt, {len(course.late)} scenarios slow, {len(course.scenes)} to come", flush=True)


def _scene(text: str) -> Scene:
    return tuple(Hit.read(part) for part in text.split("+"))


def _told(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counter.most_common()) or "nothing"


def main() -> int:
    """Exit code 0 when nothing was lost, half or corrupt."""
    parser = argparse.ArgumentParser("python -m campaigns.syscalls", description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="hit every n-th operation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=inf, help="deal no more faults after so many")
    parser.add_argument("--lanes", type=int, default=LANES, help="scenarios that are played at a time")
    parser.add_argument("--only", type=_scene, nargs="+", default=(), help="kill@work:17 EIO@start:2+full@end:3")
    given = parser.parse_args()
    with opened(SETTINGS) as house:
        verdict = campaign(house, given.every, given.seed, seconds=given.seconds, lanes=given.lanes, only=given.only)
    return conclude(verdict)


if __name__ == "__main__":
    sys.exit(main())
