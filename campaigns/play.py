"""One scenario on one new home, played through by a client that does not give up, and what is left of it afterwards."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from campaigns.disk import Disk, Fault
from campaigns.house import House
from campaigns.judge import BY_FORCE, FINAL, defects, stored
from mcp_scheduler.errors import SchedulerError, Unavailable
from mcp_scheduler.hello import capture_environment, make_hello
from mcp_scheduler.home import Home
from mcp_scheduler.owner import OwnerClient
from mcp_scheduler.store.pruning import NOTE, noted

PATIENCE = 60.0  # seconds that one scenario may take in all
ANSWER = 5.0  # seconds that one call may take
FREED_AFTER = 0.3  # seconds until somebody makes room on a full disk
KEPT = 5  # finished tasks, as the campaign's settings say: all whose end somebody may not have seen yet


# Until the first submission was taken; until the first tasks have ended; until others have, and the oldest were pruned;
# until the engine has ended in order.
PHASES = ("start", "work", "prune", "end")


@dataclass
class Wish:
    """A task that is wanted: what is submitted, what it returns, and what became of it."""

    name: str
    fields: dict[str, Any]
    result: Any = None
    runs: int = 1
    cancels: bool = False
    is_late: bool = False  # submitted when the others' ends have been seen, which may be pruned from then on
    task: str = ""
    end: dict[str, Any] | None = None
    is_cancelled: bool = False


@dataclass(frozen=True)
class Blow:
    """A fault at the operation `at` of a phase, from 1."""

    fault: Fault
    at: int
    error: int = 0


class Play:
    """Plays the scenario as often as wanted; engines come from `campaigns.engines`, watched by the disk. Others may
    play in the same house, each under a `name` and on a disk of its own, on which the homes lie."""

    def __init__(self, house: House, disk: Disk, name: str = "0") -> None:
        self._house, self._disk, self._name = house, disk, name
        self._environment = {**house.environment, **disk.environment()}
        self._engines = subprocess.Popen(
            [sys.executable, "-m", "campaigns.engines"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self._environment, cwd=house.folder,
        )  # fmt: skip
        self._number = 0
        self._lives = False
        self._engine = 0  # its process id
        self._healed_at = 0.0
        self.operations: dict[str, int] = {}  # on the disk, by phase
        self.dealt: set[str] = set()  # the phases in which something was hit
        self.recovery = 0.0  # seconds from a fault until its phase was through, at most
        self.tally: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._engines.stdin is not None
        assert self._engines.stdout is not None
        self._engines.stdin.close()
        if kind is not None:
            self._house.end()
        self._engines.wait(PATIENCE)
        self._engines.stdout.close()

    def through(self, faults: Mapping[str, Blow]) -> list[str]:
        """The whole scenario, with at most one fault in each phase; every broken promise as a sentence."""
        self._number += 1
        self.tally, self.dealt, self.recovery, self.operations = Counter(), set(), 0.0, {}
        home = self._disk.root / str(self._number)
        wishes = self._wishes()
        environment = capture_environment(
            python=sys.executable, functions=[str(self._house.folder / "work.py")], environ=self._environment
        )
        environment["cwd"] = str(self._house.folder)
        hello = make_hello("owner", client="player", any_command=True, environment=environment)
        with OwnerClient(Home(str(home)), hello, start=False, limit=ANSWER) as client:
            broken = self._act(home, client, wishes, faults)
            self._order(faults.get("end"))
            broken += self._stop(home)
            self._is_through("end")
            if "end" in self.dealt:
                broken += self._comes_back(home, client)
        broken += [] if broken else self._judged(home, wishes)
        self._forget(home)
        return broken

    def _forget(self, home: Path) -> None:
        """The home, and the witnesses of its tasks: every look for a witness reads their folders."""
        shutil.rmtree(home, ignore_errors=True)
        for folder in ("runs", "ends"):
            for witness in (self._house.folder / folder).glob(f"{self._name}-{self._number}-*"):
                witness.unlink()

    def _wishes(self) -> list[Wish]:
        def called(name: str, result: Any, runs: int = 1, cancels: bool = False, late: str = "", **more: Any) -> Wish:
            token = f"{self._name}-{self._number}-{name}{late}"
            arguments = {"token": token, **more.pop("arguments", {})}
            fields = {"function": f"work.{name}", "arguments": arguments, "idempotency_key": token, **more}
            return Wish(token, fields, result, runs, cancels, bool(late))

        command = f"{self._name}-{self._number}-command"
        return [
            called("quick", 6, arguments={"value": 3}),
            called("big", None, arguments={"value": 3, "size": 70_000}),
            Wish(
                command,
                {
                    "command": [sys.executable, str(self._house.folder / "errand.py"), command, "4", "0"],
                    "idempotency_key": command,
                },
            ),
            called("flaky", 10, 2, arguments={"value": 5, "failures": 1}, retry={"max_attempts": 2, "delay": 0.01}),
            called("endless", None, cancels=True),
            *(called("quick", value * 2, late=f"-{value}", arguments={"value": value}) for value in (4, 5)),
        ]

    # -- the client

    def _act(self, home: Path, client: OwnerClient, wishes: list[Wish], faults: Mapping[str, Blow]) -> list[str]:
        until = time.monotonic() + PATIENCE
        steps = {"start": self._has_begun_well, "work": self._has_worked, "prune": self._has_pruned}
        for phase, is_done in steps.items():
            self._order(faults.get(phase))
            while True:
                if time.monotonic() > until:
                    open_ones = [wish.name for wish in wishes if wish.end is None] or ["the pruning"]
                    return [f"not over after {PATIENCE:.0f} s: {', '.join(open_ones)}; the log ends: {_log_tail(home)}"]
                self._keep_an_engine(home)
                self._heal()
                try:
                    if is_done(client, wishes) and self._count(client) and self._is_through(phase):
                        break
                except Unavailable as error:
                    self.tally[f'answers "{error.code}"'] += 1
                except (SchedulerError, ConnectionError) as error:
                    return [f"an answer that is no help: {error!r}"]
                time.sleep(0.01)
        return [sentence for wish in wishes for sentence in self._unfair(wish)]

    def _has_begun_well(self, client: OwnerClient, wishes: list[Wish]) -> bool:
        self._submit(client, wishes[0])
        return True

    def _has_worked(self, client: OwnerClient, wishes: list[Wish]) -> bool:
        return self._are_over(client, [wish for wish in wishes if not wish.is_late])

    def _has_pruned(self, client: OwnerClient, wishes: list[Wish]) -> bool:
        return self._are_over(client, [wish for wish in wishes if wish.is_late]) and self._count(client) <= KEPT

    def _are_over(self, client: OwnerClient, wishes: list[Wish]) -> bool:
        for wish in wishes:
            self._submit(client, wish)
            if wish.cancels and not wish.is_cancelled and self._has_begun(wish):
                client.call("cancel", {"ids": [wish.task]}, timeout=ANSWER)
                wish.is_cancelled = True
        for wish in wishes:
            if wish.end is None:
                seen = client.call("gather", {"ids": [wish.task], "timeout": 0.05}, timeout=ANSWER)
                self._see(wish, seen)
        return all(wish.end is not None for wish in wishes)

    def _submit(self, client: OwnerClient, wish: Wish) -> None:
        if not wish.task:
            wish.task = client.call("submit", wish.fields, timeout=ANSWER)["tasks"][0]["id"]

    def _count(self, client: OwnerClient) -> int:
        """How many tasks there are: never none here, so it also tells that somebody answers."""
        return sum(client.call("list", {"limit": 1}, timeout=ANSWER)["counts"].values())

    def _see(self, wish: Wish, seen: list[dict[str, Any]]) -> None:
        for end in seen:
            if end["state"] in FINAL:
                wish.end = end

    def _has_begun(self, wish: Wish) -> bool:
        return any((self._house.folder / "runs").glob(f"{wish.name} *"))

    def _unfair(self, wish: Wish) -> Iterator[str]:
        assert wish.end is not None
        state, reason = wish.end["state"], wish.end.get("reason")
        told = state if state != "failed" else f"failed ({reason})"
        self.tally[told] += 1
        if wish.cancels:
            fair = state == "cancelled" or reason in BY_FORCE
        else:
            fair = state == "succeeded" or (bool(self.dealt) and state == "failed")
            if state == "succeeded" and wish.result is not None and wish.end.get("result") != wish.result:
                yield f"{wish.name} returned {wish.end.get('result')!r}"
        if not fair:
            yield f"{wish.name} ended as {told}: {wish.end.get('error')}"

    # -- engines and faults

    def _keep_an_engine(self, home: Path) -> None:
        assert self._engines.stdin is not None
        assert self._engines.stdout is not None
        if self._lives and select.select([self._engines.stdout], [], [], 0)[0]:
            self._engines.stdout.readline()  # ended …
            self._lives = False
            self.tally["engines that ended"] += 1
        if not self._lives:
            self._engines.stdin.write(f"{home}\n")
            self._engines.stdin.flush()
            self._engine = int(self._engines.stdout.readline())
            self._lives = True

    def _order(self, blow: Blow | None) -> None:
        """What is to be hit from now on; operations are counted anew."""
        self._healed_at = 0.0
        if blow is None:
            self._disk.order(Fault.ONCE, at=0)  # nothing is hit, all is counted
        else:
            self._disk.order(blow.fault, blow.at, blow.error, writes_only=True)

    def _heal(self) -> None:
        """Once a fault was dealt, nothing else is hit; a full disk stays full for a moment."""
        if self._healed_at or not self._disk.orders.hits:
            return
        if self._disk.orders.fault == Fault.FROM_THEN_ON:
            time.sleep(FREED_AFTER)
        self._disk.orders.fault = Fault.NONE
        self._healed_at = time.monotonic()

    def _is_through(self, phase: str) -> bool:
        """Whether the phase is over: not while somebody was hit since the last look at it."""
        if self._disk.orders.hits and not self._healed_at and phase != "end":
            return False
        self.operations[phase] = int(self._disk.orders.count)
        if self._disk.orders.hits:
            self.dealt.add(phase)
        if self._healed_at:
            self.recovery = max(self.recovery, time.monotonic() - self._healed_at)
        return True

    def _stop(self, home: Path) -> list[str]:
        """Tell the engine to end, again if it was too busy to hear it; a sentence if it does not."""
        assert self._engines.stdout is not None
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with (
                contextlib.suppress(SchedulerError, ConnectionError),
                OwnerClient(Home(str(home)), start=False, limit=ANSWER) as client,
            ):
                client.call("stop", {}, timeout=ANSWER)
            if select.select([self._engines.stdout], [], [], ANSWER)[0]:
                self._engines.stdout.readline()
                self._lives = False
                return []
        os.kill(self._engine, signal.SIGKILL)
        self._engines.stdout.readline()
        self._lives = False
        return [f"its engine did not end within {PATIENCE:.0f} s"]

    def _comes_back(self, home: Path, client: OwnerClient) -> list[str]:
        """What was hit while it ended can be started again."""
        self._heal()
        self._keep_an_engine(home)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with contextlib.suppress(Unavailable):
                self._count(client)
                break
            time.sleep(0.01)
        else:
            return ["no engine answers after one was hit at its end", *self._stop(home)]
        return self._stop(home)

    # -- what is left

    def _judged(self, home: Path, wishes: list[Wish]) -> list[str]:
        database = sqlite3.connect(f"file:{home / 'scheduler.db'}?mode=ro", uri=True)
        found = [row[0] for row in database.execute("PRAGMA integrity_check")]
        note = database.execute("SELECT value FROM settings WHERE name = ?", (NOTE,)).fetchone()
        database.close()
        broken = [] if found == ["ok"] else [f"the database is damaged: {found}"]
        tasks = stored(home)
        if len(tasks) != KEPT:
            broken.append(f"{len(tasks)} tasks are there instead of {KEPT}")
        for wish in wishes:
            runs = len(list((self._house.folder / "runs").glob(f"{wish.name} *")))
            if runs > wish.runs:
                broken.append(f"{wish.name} ran {runs} times")
        broken += [
            f"{task.id} has no result file"
            for task in tasks.values()
            if task.file and not (home / "results" / task.file[:2] / task.file).exists()
        ]
        files = {path.name.partition(".")[0] for path in (home / "attempts").iterdir() if path.is_file()}
        forgotten = files - tasks.keys() - set(noted(note[0] if note else None).tasks)
        broken += [f"{name} was pruned, its files were not, and nobody will know" for name in forgotten]
        return broken + [f"a traceback in the engine's log: {text}" for text in defects(home)]


def _log_tail(home: Path) -> str:
    with contextlib.suppress(OSError):
        return " | ".join((home / "engine.log").read_text(errors="replace").splitlines()[-8:])
    return "(there is none)"
