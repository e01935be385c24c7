"""Torture: `python -m campaigns.torture --each 100`.

Commands that do not want to end (see `victim`) are ended, half of them by a cancel, half by their timeout, while
functions and commands that have done nothing wrong run beside them. A witness reads /proc for the token that every
process of a victim has among its arguments; it knows nothing of the scheduler. What must hold: no survivor, none later
than `LIMIT`, none once the scheduler has said that the task is over, every neighbour succeeds, and the engine's memory
stays where it was.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import anyio
from mcp import Client

from campaigns import kinds
from campaigns.house import House, opened
from campaigns.judge import Verdict, conclude
from campaigns.victim import KINDS

GRACE = 1.0  # seconds between the polite and the forced end
SETTINGS = {"MCP_SCHEDULER_POOL__CPUS": "14", "MCP_SCHEDULER_POOL__GRACE": str(int(GRACE))}
LIMIT = 12.0  # seconds from the cancel or the timeout until nothing is left
GROWTH = 20.0  # MB that the engine's memory may grow
PATIENCE = 60.0  # seconds that anything may take before the campaign calls it broken
TIMEOUT = 2.0  # seconds, of the victims that are ended by it
NEIGHBOURS = 2  # of each kind, beside every round
LOOK = 0.02  # seconds between two looks of the witness


@dataclass
class Victim:
    """`due` is when its end was asked for (for a timeout: when it would be if it had begun with its submission),
    `gone` when the witness no longer saw any of it, by one clock. `end` is what the scheduler says."""

    kind: str
    token: str
    up: Path
    by_cancel: bool
    task: str = ""
    due: float = 0.0
    gone: float = 0.0
    end: dict[str, Any] = field(default_factory=dict[str, Any])
    after_the_end: int = 0  # processes that lived when the scheduler had said that it was over


class Witness:
    """Counts the living processes of each victim."""

    def __init__(self) -> None:
        self.most: Counter[str] = Counter()

    def look(self, tokens: set[str]) -> Counter[str]:
        """Token → how many processes carry it as an argument of theirs."""
        found: Counter[str] = Counter()
        for name in os.listdir("/proc"):
            if name.isdigit():
                with suppress(OSError):  # it ended meanwhile
                    words = Path("/proc", name, "cmdline").read_bytes().decode(errors="replace").split("\0")
                    token = words[3] if len(words) > 4 else ""
                    if token in tokens and _is_alive(name):
                        found[token] += 1
        for token, count in found.items():
            self.most[token] = max(self.most[token], count)
        return found


def _is_alive(name: str) -> bool:
    return Path("/proc", name, "stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in "ZX"


class Torture:
    """`each` victims of every kind, in rounds of one cancelled and one timed of each."""

    def __init__(self, house: House, each: int, chance: Random) -> None:
        self.victims: list[Victim] = []
        self.neighbours: Counter[str] = Counter()
        self.memory: list[float] = []  # MB, of the engine, before the first round and after each
        self.verdict = Verdict()
        self._house, self._each, self._chance = house, each, chance
        self._witness = Witness()
        self._client: Client

    async def run(self) -> Verdict:
        begun = time.monotonic()
        async with self._house.client("auto", "torture") as self._client:
            await self._neighbours("warm-up")
            self._weigh()
            for number in range(0, self._each, 2):
                await self._round(number)
        self._house.stop()
        left = self._house.left_over()
        self.verdict.violations += [f"left over: {process}" for process in left]
        self._count(len(left), time.monotonic() - begun)
        return self.verdict

    async def _round(self, number: int) -> None:
        numbers = range(number, min(number + 2, self._each))
        victims = [
            self._victim(kind, f"{kind}-{one}", by_cancel=(place + one) % 2 == 0)
            for place, kind in enumerate(KINDS)
            for one in numbers
        ]
        self._chance.shuffle(victims)
        self.victims += victims
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch, victims)
            group.start_soon(self._neighbours, f"round-{number}")
            for victim in victims:
                group.start_soon(self._torture, victim)
        self._weigh()

    def _weigh(self) -> None:
        pid = self._house.engine()
        assert pid is not None, "the engine is gone, though nobody touched it"
        self.memory.append(_megabytes(pid))

    def _victim(self, kind: str, token: str, *, by_cancel: bool) -> Victim:
        return Victim(kind, token, self._house.folder / f"{token}.up", by_cancel)

    async def _torture(self, victim: Victim) -> None:
        fields: dict[str, Any] = {"command": [sys.executable, "victim.py", victim.kind, victim.token, str(victim.up)]}
        if not victim.by_cancel:
            fields["timeout"] = TIMEOUT
        victim.due = time.monotonic() + TIMEOUT  # it cannot begin earlier
        victim.task = (await self._call("submit_task", fields))["id"]
        with anyio.move_on_after(PATIENCE):
            if victim.by_cancel:
                while not victim.up.exists():  # noqa: ASYNC110 (a file sends no events)
                    await anyio.sleep(LOOK)
                victim.due = time.monotonic()
                await self._call("cancel_task", {"ids": [victim.task]})
            while not victim.end:
                told = await self._call("wait_for_tasks", {"ids": [victim.task], "timeout": 30})
                victim.end = next(iter(told.get("done", ())), {})
        after = await anyio.to_thread.run_sync(self._witness.look, {victim.token})
        victim.after_the_end = after[victim.token]

    async def _watch(self, victims: list[Victim]) -> None:
        """Until the last of this round is over and gone."""
        open_ones = {victim.token: victim for victim in victims}
        until = time.monotonic() + 2 * PATIENCE
        while open_ones and time.monotonic() < until:
            present = await anyio.to_thread.run_sync(self._witness.look, set(open_ones))
            now = time.monotonic()
            for token, victim in list(open_ones.items()):
                if present[token]:
                    victim.gone = 0.0
                elif self._witness.most[token]:
                    victim.gone = victim.gone or now
                if victim.end and not present[token]:
                    del open_ones[token]
            await anyio.sleep(LOOK)

    async def _neighbours(self, name: str) -> None:
        """Functions and commands of good manners: each has to succeed, with its result."""
        async with anyio.create_task_group() as group:
            for number in range(NEIGHBOURS):
                for kind in ("short", "command"):
                    group.start_soon(self._neighbour, kind, f"{name}-{kind}-{number}")

    async def _neighbour(self, name: str, token: str) -> None:
        kind, value = kinds.BY_NAME[name], self._chance.randrange(1000)
        fields = kind.make(token, value, self._chance)
        told = await self._call("submit_task", fields)
        done: list[dict[str, Any]] = []
        with anyio.move_on_after(PATIENCE):
            while not done:
                done = (await self._call("wait_for_tasks", {"ids": [told["id"]], "timeout": 30})).get("done", [])
        end = done[0] if done else {"state": f"not over after {PATIENCE:.0f} s"}
        self.neighbours[end["state"]] += 1
        if end["state"] != "succeeded":
            self.verdict.violations.append(f"a neighbour was disturbed: {token}: {end}")

    async def _call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        answer = await self._client.call_tool(tool, arguments)
        assert not answer.is_error, answer.content
        assert isinstance(answer.structured_content, dict)
        return answer.structured_content

    # -- what is said about it

    def _count(self, left: int, seconds: float) -> None:
        figures = self.verdict.figures
        survivors = sum(not victim.gone for victim in self.victims if self._witness.most[victim.token])
        figures["victims"] = f"{len(self.victims)}: {self._each} each of {', '.join(KINDS)}"
        figures["their processes at a time, most"] = ", ".join(
            f"{max(self._witness.most[one.token] for one in self.victims if one.kind == kind)} {kind}" for kind in KINDS
        )
        figures["survivors"] = survivors
        for by_cancel, name in ((True, "cancel"), (False, "timeout")):
            waits = sorted(one.gone - one.due for one in self.victims if one.gone and one.by_cancel is by_cancel)
            if waits:
                figures[f"from the {name} to no process, median and worst"] = (
                    f"{max(0.0, statistics.median(waits)):.2f} s, {max(0.0, waits[-1]):.2f} s (grace: {GRACE:.0f} s)"
                )
        figures["alive after the scheduler said it was over"] = sum(one.after_the_end for one in self.victims)
        figures["neighbours"] = ", ".join(f"{count} {state}" for state, count in self.neighbours.items())
        growth = max(self.memory) - self.memory[0]
        figures["engine's memory"] = f"{self.memory[0]:.1f} MB before the first victim, {growth:+.1f} MB at its most"
        figures["processes left at the end"] = left
        figures["seconds in all"] = f"{seconds:.0f}"
        if growth > GROWTH:
            self.verdict.violations.append(f"the engine's memory grew by {growth:.1f} MB")
        for victim in self.victims:
            self.verdict.violations += [f"{victim.token} ({victim.task}): {wrong}" for wrong in self._wrong(victim)]

    def _wrong(self, victim: Victim) -> list[str]:
        expected = ("cancelled", "cancelled") if victim.by_cancel else ("failed", "timeout")
        found: list[str] = []
        if not self._witness.most[victim.token]:
            found.append("the witness never saw it: nothing was shown")
        elif not victim.gone:
            found.append("survived")
        elif victim.gone - victim.due > LIMIT:
            found.append(f"something of it lived for {victim.gone - victim.due:.1f} s after its end was asked for")
        if victim.after_the_end:
            found.append(f"{victim.after_the_end} of its processes lived when the scheduler had said that it was over")
        if (victim.end.get("state"), victim.end.get("reason")) != expected:
            found.append(f"ended as {victim.end or 'nothing'}")
        return found


def _megabytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def main() -> int:
    """Exit code 0 when every promise was kept."""
    parser = argparse.ArgumentParser("python -m campaigns.torture", description=__doc__)
    parser.add_argument("--each", type=int, default=100, help="victims of each kind")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with opened(SETTINGS) as house:
        verdict = anyio.run(Torture(house, given.each, Random(given.seed)).run)
    return conclude(verdict)


if __name__ == "__main__":
    sys.exit(main())
