"""Crash campaign: `python -m campaigns.crash --kills 1000 --seed 1`.

Several real MCP clients of both eras work over stdio while random processes of the scheduler are killed with SIGKILL
or frozen. Afterwards the judge holds what was acknowledged and what really ran against what the scheduler believes.
The seed chooses the work and the blows; how they meet is up to the machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Any

import anyio

from campaigns.agent import FINAL, Agent
from campaigns.blows import Killer
from campaigns.house import House, opened
from campaigns.judge import Verdict, conclude, judge
from campaigns.ledger import Ledger

PATIENCE = 60.0  # seconds after the last blow in which everything has to have ended
SETTINGS = {"MCP_SCHEDULER_POOL__CPUS": "4", "MCP_SCHEDULER_POOL__GRACE": "1"}


@dataclass(frozen=True)
class Plan:
    """`pause` is the mean of the seconds between two blows."""

    kills: int
    seed: int
    clients: int = 4
    pause: float = 1.0


async def campaign(plan: Plan, house: House) -> Verdict:
    """The whole campaign in this house."""
    ledger = Ledger(house.folder / "ledger")
    eras = ("auto", "legacy")
    agents = [
        Agent(f"c{number}", eras[number % 2], house, ledger, Random(f"{plan.seed} {number}"))
        for number in range(plan.clients)
    ]
    killer = Killer(house, Random(plan.seed), lambda: sum(agent.tally["acknowledged"] for agent in agents))
    begun = time.monotonic()
    over = anyio.Event()
    async with anyio.create_task_group() as group:
        for agent in agents:
            group.start_soon(agent.run, over)
        await killer.run(plan.kills, plan.pause)
        over.set()
    waited = await all_ended(house, ledger, killer.last_at)
    house.stop()
    left = house.left_over()
    verdict = judge(house, ledger)
    _add(verdict, plan, agents, killer)
    verdict.figures["everything ended after the last blow"] = f"{waited:.1f} s"
    if waited > PATIENCE:
        verdict.violations.append(f"it took {waited:.1f} s after the last blow until everything had ended")
    verdict.figures["processes left at the end"] = len(left)
    verdict.violations += [f"left over: {process}" for process in left]
    verdict.figures["seconds in all"] = f"{time.monotonic() - begun:.0f}"
    ledger.close()
    return verdict


async def all_ended(house: House, ledger: Ledger, since: float) -> float:
    """Wait as a fresh client until nothing is under way, then look at every end once more; seconds since `since`."""
    observer = Agent("observer", "auto", house, ledger, Random(0))
    async with house.client("auto", "observer") as client:
        while True:
            answer = await client.call_tool("list_tasks", {"limit": 1})
            counts: dict[str, int] = (answer.structured_content or {}).get("counts", {})
            waited = time.monotonic() - since
            if not set(counts) - set(FINAL):
                break
            if waited > 2 * PATIENCE:
                return waited
            await anyio.sleep(0.2)
        for entry in ledger.read("acknowledged"):
            for task in entry["tasks"]:
                seen = await client.call_tool("get_task", {"id": task, "detail": True})
                if seen.is_error or not isinstance(seen.structured_content, dict):
                    ledger.write("violation", text=f"{task} was acknowledged and cannot be shown: {seen.content}")
                else:
                    observer.saw(seen.structured_content)
    return waited


def _add(verdict: Verdict, plan: Plan, agents: list[Agent], killer: Killer) -> None:
    """The figures of the run itself, before those of the judge."""
    tally: Counter[str] = Counter()
    for agent in agents:
        tally.update(agent.tally)
    latencies = sorted(seconds for agent in agents for seconds in agent.latencies)
    own: dict[str, Any] = {
        "seed": plan.seed,
        "blows": f"{killer.dealt.total()}: {_told(killer.dealt)}",
        "processes killed": f"{killer.killed.total()}: {_told(killer.killed)}",
        "clients, connections": f"{plan.clients} (two eras), {tally['connections']}",
        "tool calls": f"{tally['calls']}, {tally['refused']} answered with an error",
        "tasks asked for, acknowledged": f"{tally['asked']}, {tally['acknowledged']}",
        "repeated and recognised": tally["duplicates"],
        "answer, p50 and worst": f"{_at(latencies, 0.5) * 1000:.0f} ms, {_at(latencies, 1.0):.1f} s",
    }
    verdict.figures = own | verdict.figures


def _told(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counter.most_common())


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def main() -> int:
    """Exit code 0 when every promise was kept."""
    parser = argparse.ArgumentParser("python -m campaigns.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="blows to deal")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--pause", type=float, default=1.0, help="mean seconds between two blows")
    parser.add_argument("--keep", action="store_true", help="leave the folder for a look")
    given = parser.parse_args()
    plan = Plan(given.kills, given.seed, given.clients, given.pause)
    with opened(SETTINGS, keep=given.keep) as house:
        verdict = anyio.run(campaign, plan, house)
        if given.keep:
            print(f"kept: {house.folder}")
    return conclude(verdict)


if __name__ == "__main__":
    sys.exit(main())
