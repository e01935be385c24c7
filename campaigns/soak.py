"""Soak: `python -m campaigns.soak --minutes 30 --rate 20`.

Clients of both eras submit at a steady rate while the engine's memory, descriptors, threads, processes and write-ahead
log are looked at. What counts is the time after the warm-up: the engine keeps the last ended tasks in memory, and until
there are that many of them it may grow. The warm-up takes 60 % of the run at most.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import anyio
from mcp import Client

from campaigns import kinds
from campaigns.agent import FINAL
from campaigns.house import House, opened
from campaigns.judge import Verdict, conclude
from mcp_scheduler.core.cluster import TAIL

# Finished tasks are pruned early, so that a short run reaches the state in which nothing may grow any more.
SETTINGS = {
    "MCP_SCHEDULER_POOL__CPUS": "8",
    "MCP_SCHEDULER_POOL__GRACE": "1",
    "MCP_SCHEDULER_QUEUE__KEEP_TASKS": "1000",
    "MCP_SCHEDULER_QUEUE__RETRY_SHARE": "3",  # each of the flaky tasks needs two retries, and they are many
}
MIX = {
    "quick": 24, "short": 3, "repeatable": 1, "flaky": 3, "chatty": 1, "big": 1, "command": 1, "timed": 1,
    "cancelled": 1,
}  # fmt: skip
ASKED_BACK = 0.2  # share of the tasks whose result is waited for and compared
LOOK_EVERY = 2.0  # seconds
LONG_ENOUGH = 600.0  # seconds after the warm-up from which on a slope per hour says something

SLOPE = 1.0  # MB an hour
WAL = 8.0  # MB
P99 = 0.050  # seconds


@dataclass(frozen=True)
class Look:
    """The engine at one moment."""

    at: float
    memory: float  # MB
    files: int
    threads: int
    processes: int
    wal: float  # MB


@dataclass
class Course:
    """What happened."""

    looks: list[Look] = field(default_factory=list)
    submits: list[float] = field(default_factory=list)
    tally: Counter[str] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)


class Source:
    """One client that submits on time, whether or not the last answer has come."""

    def __init__(self, name: str, rate: float, course: Course, chance: Random) -> None:
        self._name = name
        self._rate = rate
        self._course = course
        self._chance = chance
        self._number = 0

    async def run(self, client: Client, until: float) -> None:
        """Submit `rate` tasks a second until then."""
        due = time.monotonic()
        async with anyio.create_task_group() as group:
            while due < until:
                await anyio.sleep(max(0.0, due - time.monotonic()))
                due += 1 / self._rate
                self._number += 1
                group.start_soon(self._one, client, f"{self._name}-{self._number}")

    async def _one(self, client: Client, token: str) -> None:
        name = self._chance.choices(list(MIX), list(MIX.values()))[0]
        kind, value = kinds.BY_NAME[name], self._chance.randrange(1000)
        begun = time.monotonic()
        answer = await self._call(client, "submit_task", kind.make(token, value, self._chance))
        self._course.submits.append(time.monotonic() - begun)
        self._course.tally[name] += 1
        if answer is None:
            return
        if kind.cancels:
            await self._call(client, "cancel_task", {"ids": [answer["id"]]})
        elif self._chance.random() < ASKED_BACK:
            await self._ask_back(client, answer["id"], kind, value)

    async def _ask_back(self, client: Client, task: str, kind: kinds.Kind, value: int) -> None:
        told = await self._call(client, "wait_for_tasks", {"ids": [task], "timeout": 30})
        ended = (told or {}).get("done") or [{"state": "not ended within 30 s"}]
        should = "failed" if kind.reasons else "succeeded"
        if ended[0]["state"] != should:
            self._course.troubles.append(f"{task} ({kind.name}): {ended[0]}")
        elif isinstance(ended[0].get("result"), int) and ended[0]["result"] != kind.result(value):
            self._course.troubles.append(f"{task} ({kind.name}) returned {ended[0]['result']}")
        self._course.tally["results compared"] += 1

    async def _call(self, client: Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
        answer = await client.call_tool(tool, arguments)
        if answer.is_error or not isinstance(answer.structured_content, dict):
            self._course.troubles.append(f"{tool}: {answer.content}")
            return None
        return answer.structured_content


async def soak(minutes: float, rate: float, seed: int, house: House) -> Course:
    """Run it in this house."""
    course = Course()
    eras = ("auto", "legacy")
    until = time.monotonic() + minutes * 60
    async with anyio.create_task_group() as group:

        async def client(number: int) -> None:
            source = Source(f"s{number}", rate / len(eras), course, Random(f"{seed} {number}"))
            async with house.client(eras[number], f"s{number}") as made:
                await source.run(made, until)

        for number in range(len(eras)):
            group.start_soon(client, number)
        await _watch(house, course, until)
    async with house.client("auto", "last") as last:
        await _all_ended(last, course)
    house.stop()
    course.troubles += [f"left over: {process}" for process in house.left_over()]
    return course


async def _all_ended(client: Client, course: Course) -> None:
    with anyio.move_on_after(60):
        while True:
            answer = await client.call_tool("list_tasks", {"limit": 1})
            open_states = set((answer.structured_content or {}).get("counts", {})) - set(FINAL)
            if not open_states:
                return
            await anyio.sleep(0.2)
    course.troubles.append("not everything had ended 60 s after the last submission")


async def _watch(house: House, course: Course, until: float) -> None:
    begun = time.monotonic()
    while time.monotonic() < until:
        await anyio.sleep(LOOK_EVERY)
        present = await anyio.to_thread.run_sync(house.processes)
        if present["engine"]:
            count = sum(len(pids) for pids in present.values())
            course.looks.append(_look(house, present["engine"][0], count, time.monotonic() - begun))


def _look(house: House, engine: int, processes: int, at: float) -> Look:
    proc = Path(f"/proc/{engine}")
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    wal = house.home / "scheduler.db-wal"
    return Look(
        at=at,
        memory=int(status["VmRSS"].split()[0]) / 1024,
        files=len(os.listdir(proc / "fd")),
        threads=int(status["Threads"]),
        processes=processes,
        wal=wal.stat().st_size / 1e6 if wal.exists() else 0.0,
    )


def report(course: Course, minutes: float, rate: float) -> tuple[dict[str, str], list[str]]:
    """The figures, and which targets were missed."""
    warm = min(minutes * 36, max(minutes * 20, 1.05 * TAIL / rate))
    looks = [look for look in course.looks if look.at >= warm]
    ordered = sorted(course.submits)
    p99 = ordered[int(0.99 * (len(ordered) - 1))]
    slope = 3600 * statistics.linear_regression([one.at for one in looks], [one.memory for one in looks]).slope
    worst_wal = max(look.wal for look in course.looks)
    figures = {
        "tasks": ", ".join(f"{count} {name}" for name, count in course.tally.most_common()),
        "submit, p50 / p99 / worst": f"{ordered[len(ordered) // 2] * 1000:.1f} / {p99 * 1000:.1f} / "
        f"{ordered[-1] * 1000:.0f} ms",
        "engine's memory": f"{looks[0].memory:.1f} MB after warm-up, {looks[-1].memory:.1f} MB at the end, "
        f"{slope:+.1f} MB an hour",
        "descriptors": _span([look.files for look in looks]),
        "threads": _span([look.threads for look in looks]),
        "processes": _span([look.processes for look in looks]),
        "write-ahead log, worst": f"{worst_wal:.1f} MB",
        "troubles": str(len(course.troubles)),
    }
    missed = [f"trouble: {trouble}" for trouble in course.troubles[:20]]
    if p99 > P99:
        missed.append(f"p99 of submit is {p99 * 1000:.1f} ms, the target {P99 * 1000:.0f}")
    if worst_wal > WAL:
        missed.append(f"the write-ahead log grew to {worst_wal:.1f} MB, the target is {WAL:.0f}")
    if looks[-1].at - looks[0].at < LONG_ENOUGH:
        figures["note"] = "too short for a slope per hour to say anything"
    elif slope > SLOPE:
        missed.append(f"memory grows by {slope:.1f} MB an hour, the target is {SLOPE:.0f}")
    return figures, missed


def _span(numbers: list[int]) -> str:
    half = len(numbers) // 2
    return (
        f"{min(numbers)} to {max(numbers)}, mean {statistics.fmean(numbers[:half] or numbers):.1f} in the first half, "
        f"{statistics.fmean(numbers[half:]):.1f} in the second"
    )


def main() -> int:
    """Exit code 0 when every target was met."""
    parser = argparse.ArgumentParser("python -m campaigns.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=20, help="tasks a second")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with opened(SETTINGS) as house:
        course = anyio.run(soak, given.minutes, given.rate, given.seed, house)
        figures, missed = report(course, given.minutes, given.rate)
    return conclude(Verdict(figures, missed))


if __name__ == "__main__":
    sys.exit(main())
