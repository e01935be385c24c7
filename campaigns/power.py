"""Power-loss campaign: `python -m campaigns.power --points 300 --seed 1`.

Every write, fsync, rename and unlink of a house is recorded while clients submit, tasks run and engines are killed.
Then, at many points of the record, the home is rebuilt from what was fsync'ed by then (and again with a random part of
what was not), as after a start of the machine, and an engine is started from it. What clients had been told by then,
and what functions had begun by then, is held against what that engine has. The seed chooses the work and the points.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import anyio

from campaigns.agent import Agent
from campaigns.crash import all_ended
from campaigns.disk import MARK, Disk, Op, Record
from campaigns.house import House, opened, strike
from campaigns.judge import Verdict, conclude
from campaigns.ledger import Ledger
from campaigns.reckoning import Told, after_the_cut
from campaigns.remains import Remains

SETTINGS = {"MCP_SCHEDULER_POOL__CPUS": "4", "MCP_SCHEDULER_POOL__GRACE": "1"}


@dataclass(frozen=True)
class Plan:
    """`tasks` are acknowledged in all; `kills` times meanwhile the engine dies."""

    points: int
    seed: int
    tasks: int = 150
    kills: int = 6
    clients: int = 3


class MarkedLedger(Ledger):
    """The outside ledger, whose entries stand between the operations of the disk as well."""

    def __init__(self, path: Path, disk: Disk) -> None:
        super().__init__(path)
        self._disk = disk

    def write(self, what: str, **facts: Any) -> None:
        super().write(what, **facts)
        self._disk.mark(json.dumps({"what": what, **facts}).encode())


async def record(plan: Plan, house: House, disk: Disk) -> None:
    """Let clients work and engines die while everything is written down."""
    house.settings |= disk.environment()
    disk.record()
    ledger = MarkedLedger(house.folder / "ledger", disk)
    agents = [
        Agent(f"p{number}", ("auto", "legacy")[number % 2], house, ledger, Random(f"{plan.seed} {number}"))
        for number in range(plan.clients)
    ]
    over = anyio.Event()
    async with anyio.create_task_group() as group:
        for agent in agents:
            group.start_soon(agent.run, over)
        for part in range(1, plan.kills + 2):
            while sum(agent.tally["acknowledged"] for agent in agents) < plan.tasks * part / (plan.kills + 1):  # noqa: ASYNC110
                await anyio.sleep(0.02)
            if part <= plan.kills and (engine := house.engine()) is not None:
                strike(engine, signal.SIGKILL)
        over.set()
    await all_ended(house, ledger, time.monotonic())
    house.stop()
    house.left_over()
    house.end()
    ledger.close()


async def judge(plan: Plan, house: House, disk: Disk, *, lying: bool = False) -> Verdict:
    """Cut the power at the points and look at what is left."""
    records = list(disk.records())
    operations = [at for at, one in enumerate(records) if one.op != MARK and one.first.startswith(f"{house.home}/")]
    chance = Random(f"{plan.seed} points")
    points = set(chance.sample(operations, min(plan.points, len(operations))))
    verdict, tally, slowest = Verdict(), Counter[str](), 0.0
    remains, told = Remains(str(house.home), lying=lying), Told()
    for at, one in enumerate(records):
        if one.op == MARK:
            told.hear(json.loads(one.content))
            continue
        if one.op == Op.CREATE:
            _witness(told, one, house.folder / "runs")
        remains.feed(one)
        if at not in points:
            continue
        for kind, part in (("synced alone", None), ("a part of the rest", Random(f"{plan.seed} {at}"))):
            begun = time.monotonic()
            cut = await _cut(house.folder / "rebuilt", remains, told, part, tally)
            slowest = max(slowest, time.monotonic() - begun)
            tally["starts"] += 1
            verdict.violations += [f"at operation {at}, {kind}: {sentence}" for sentence in cut]
    verdict.figures |= {
        "seed": plan.seed,
        "operations recorded": f"{len(operations)}: {_told(Counter(Op(records[at].op).name for at in operations))}",
        "points, starts of an engine": f"{len(points)}, {tally['starts']}",
        "slowest start with its judgement": f"{slowest:.2f} s",
        "acknowledged tasks, and how often looked for": f"{len(told.acknowledged)}, {tally['acknowledged']}",
        "ends that were told, and how often looked for": f"{len(told.ends)}, {tally['ends']}",
        "exit records read back": tally["records"],
        "result files read back": tally["files"],
        "attempts begun, looked at for a second run": tally["runs"],
        "broken": len(verdict.violations),
    }
    return verdict


async def _cut(home: Path, remains: Remains, told: Told, part: Random | None, tally: Counter[str]) -> list[str]:
    remains.write(home, part)
    try:
        return await after_the_cut(home, told, tally)
    finally:
        shutil.rmtree(home)


def _witness(told: Told, one: Record, runs: Path) -> None:
    """A function that begins makes a file: from that moment on it has run."""
    if Path(one.first).parent == runs:
        token, task, attempt = Path(one.first).name.split(" ")
        told.began[task, int(attempt)] = token


def _told(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name.lower()}" for name, count in counter.most_common())


async def campaign(plan: Plan, house: House) -> Verdict:
    """Record, then judge."""
    disk = Disk(house.folder)
    await record(plan, house, disk)
    return await judge(plan, house, disk)


def main() -> int:
    """Exit code 0 when nothing was lost."""
    parser = argparse.ArgumentParser("python -m campaigns.power", description=__doc__)
    parser.add_argument("--points", type=int, default=300, help="moments at which the power is cut")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tasks", type=int, default=150, help="tasks that are submitted while the disk is recorded")
    given = parser.parse_args()
    logging.disable(logging.WARNING)  # every start finds what a cut leaves, and says so
    with opened(SETTINGS) as house:
        verdict = anyio.run(campaign, Plan(given.points, given.seed, given.tasks), house)
    return conclude(verdict)


if __name__ == "__main__":
    sys.exit(main())
