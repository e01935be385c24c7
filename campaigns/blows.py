"""The violence: who is hit, how often, and with what."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import anyio

from campaigns.house import House, strike

CALM = 0.7  # share of the blows that wait until the house works again
CALM_LIMIT = 20.0  # seconds that they wait at most


@dataclass(frozen=True)
class Blow:
    """One kind of blow: one victim of each of these roles, or with `all_of_them` every process of the roles."""

    name: str
    weight: int
    roles: tuple[str, ...]
    all_of_them: bool = False
    freeze: float = 0.0  # seconds of SIGSTOP instead of SIGKILL


BLOWS: Sequence[Blow] = (
    Blow("engine", 6, ("engine",)),
    Blow("relay", 3, ("relay",)),
    Blow("zygote", 2, ("zygote",)),
    Blow("shim", 3, ("shim",)),
    Blow("worker", 4, ("worker",)),
    Blow("child of a call", 1, ("other",)),
    Blow("engine and a worker", 3, ("engine", "worker")),
    Blow("engine and a shim", 2, ("engine", "shim")),
    Blow("engine and every relay", 1, ("engine", "relay"), all_of_them=True),
    Blow("engine, zygote, every shim, every worker", 2, ("engine", "zygote", "shim", "worker"), all_of_them=True),
    Blow("everything", 1, ("relay", "engine", "zygote", "shim", "worker", "other"), all_of_them=True),
    Blow("engine frozen", 1, ("engine",), freeze=1.5),
    Blow("shim frozen", 1, ("shim",), freeze=1.5),
    Blow("worker frozen", 1, ("worker",), freeze=1.5),
)


class Killer:
    """Deals a number of blows at random moments. `dealt` counts them by name, `killed` the processes by role.

    Most blows wait until some work was done since the last one (`progress` grows); the others fall into the recovery.
    """

    def __init__(self, house: House, chance: Random, progress: Callable[[], int]) -> None:
        self._house = house
        self._chance = chance
        self._progress = progress
        self.dealt: Counter[str] = Counter()
        self.killed: Counter[str] = Counter()
        self.last_at = 0.0

    async def run(self, blows: int, pause: float) -> None:
        """Returns after the last blow. `pause` is the mean of the seconds between two."""
        while self.dealt.total() < blows:
            if not self.dealt or self._chance.random() < CALM:
                await self._work_done()
            await anyio.sleep(min(self._chance.expovariate(1 / pause), 4 * pause))
            await self._strike(self._chance.choices(BLOWS, [blow.weight for blow in BLOWS])[0])
        self.last_at = time.monotonic()

    async def _work_done(self) -> None:
        before = self._progress()
        with anyio.move_on_after(CALM_LIMIT):
            while self._progress() == before:  # noqa: ASYNC110 (a count sends no events)
                await anyio.sleep(0.02)

    async def _strike(self, blow: Blow) -> None:
        present = await anyio.to_thread.run_sync(self._house.processes)
        victims: list[tuple[str, int]] = []
        for role in blow.roles:
            pids = present[role]
            if pids:
                victims += [(role, pid) for pid in (pids if blow.all_of_them else [self._chance.choice(pids)])]
        self._chance.shuffle(victims)
        signum = signal.SIGSTOP if blow.freeze else signal.SIGKILL
        hit = [(role, pid) for role, pid in victims if strike(pid, signum)]
        if not hit:
            return  # nobody of these was there: not a blow
        self.dealt[blow.name] += 1
        if blow.freeze:
            await anyio.sleep(blow.freeze)
            for _, pid in hit:
                strike(pid, signal.SIGCONT)
        else:
            self.killed.update(role for role, _ in hit)
