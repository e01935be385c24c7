"""Adoption: `python -m campaigns.adoption --kills 100`.

The engine alone is killed with SIGKILL, again and again, while at least `UNDER_WAY` commands and functions run, some of
them on GPUs of a made-up machine; now and then the next engine is killed while it takes over. Nothing may be repeated,
and nothing was hit but the engine, so every task must end as it would have ended by itself: output, result and exit
code intact, one attempt, no GPU shown to two. Witnesses outside of the scheduler say what really ran.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from campaigns.house import ROOT, House, opened
from campaigns.judge import BY_FORCE, FINAL, Verdict, conclude, judge
from campaigns.kinds import MODULE
from campaigns.ledger import Ledger
from mcp_scheduler.errors import Unavailable
from mcp_scheduler.hello import capture_environment, make_hello
from mcp_scheduler.home import Home
from mcp_scheduler.owner import OwnerClient

sys.path.insert(0, str(ROOT / "tests" / "fakes" / "nvml"))
from fake_nvml import Scenario, compile_library

UNDER_WAY = 20  # tasks that run when the engine is killed
ASKED = 32  # tasks that are kept submitted
GPUS = 4
ON_GPUS = 8  # of them on GPUs, so that there is always somebody who waits for one
SETTINGS = {"MCP_SCHEDULER_POOL__CPUS": str(UNDER_WAY + 4), "MCP_SCHEDULER_POOL__GRACE": "1"}
SECONDS = (2.0, 12.0)  # that a task takes
AT_BOOT = 0.25  # share of the engines that are killed before they have said a word
PATIENCE = 60.0  # seconds that anything may take before the campaign calls it broken
OUTPUT = "under way\ndone\n"
BROKEN = 3  # the exit code of the commands that are to fail


@dataclass(frozen=True)
class Kind:
    """A kind of task; `gpus` it needs, `code` is how a command exits."""

    name: str
    weight: int
    is_command: bool
    gpus: int = 0
    code: int = 0

    def fields(self, token: str, value: int, seconds: float, folder: Path) -> dict[str, Any]:
        needs = {"cpus": 1} | ({"gpus": self.gpus} if self.gpus else {})
        if not self.is_command:
            arguments = {"token": token, "value": value, "seconds": seconds}
            return {"function": f"{MODULE}.steady", "arguments": arguments, "needs": needs}
        words = [sys.executable, "errand.py", token, str(value), f"{seconds:.2f}", str(self.code)]
        return {"command": words, "cwd": str(folder), "needs": needs}


KINDS = (
    Kind("command", 8, is_command=True),
    Kind("command that fails", 3, is_command=True, code=BROKEN),
    Kind("command on a GPU", 3, is_command=True, gpus=1),
    Kind("function", 8, is_command=False),
    Kind("function on a GPU", 3, is_command=False, gpus=1),
    Kind("command on two GPUs", 1, is_command=True, gpus=2),
)


class Adoption:
    """Deals the blows and keeps the tasks coming."""

    def __init__(self, house: House, kills: int, chance: Random) -> None:
        self._house, self._kills, self._chance = house, kills, chance
        self._home = Home(str(house.home))
        self._ledger = Ledger(house.folder / "ledger")
        self._engine: subprocess.Popen[bytes] | None = None
        self._kinds: dict[str, Kind] = {}  # token →
        self._ids: dict[str, str] = {}  # token → task
        self._open: set[str] = set()  # ids
        self._hit: Counter[str] = Counter()  # token → how often the engine was killed while it ran
        self._figures: dict[str, Any] = {}
        self._boots: list[float] = []
        self._under_way = 0

    def run(self) -> Verdict:
        """The whole campaign."""
        begun = time.monotonic()
        self._prepare()
        self._start()
        least, at_boot = UNDER_WAY + ASKED, 0
        for _ in range(self._kills):
            if self._boots and self._chance.random() < AT_BOOT:
                time.sleep(self._chance.uniform(0, 1.0))
                at_boot += 1
            else:
                time.sleep(self._chance.uniform(0, 0.3))
                self._until(self._are_enough, f"{UNDER_WAY} tasks run")
                least = min(least, self._under_way)
            self._kill()
            time.sleep(self._chance.uniform(0, 0.5))
            self._start()
        self._until(lambda: not self._left_open(), "everything has ended")
        found = self._look_at_ends()
        self._house.stop()
        assert self._engine is not None
        self._engine.wait(PATIENCE)
        left = self._house.left_over()
        verdict = judge(self._house, self._ledger)
        verdict.figures = {
            "kills of the engine": f"{self._kills}, {at_boot} of them while it took over",
            "under way at a kill, least": least,
            "tasks that lived through a kill": f"{len(self._hit)}, of which {sum(n > 1 for n in self._hit.values())}"
            f" through several; {self._told_kinds()}",
            "from a kill to an engine that answers, worst": f"{max(self._boots):.1f} s",
            **verdict.figures,
            "processes left at the end": len(left),
            "seconds in all": f"{time.monotonic() - begun:.0f}",
        }
        verdict.violations += [*found, *(f"left over: {process}" for process in left)]
        self._ledger.close()
        return verdict

    def _told_kinds(self) -> str:
        kinds = Counter(self._kinds[token].name for token in self._hit)
        return ", ".join(f"{count} {name}" for name, count in kinds.most_common())

    # -- the engine

    def _prepare(self) -> None:
        """A machine with GPUs, and a home."""
        compile_library(self._house.folder)
        scenario = Scenario(self._house.folder / "scenario", self._house.folder / "libnvidia-ml.so.1")
        for _ in range(GPUS):
            scenario.gpu()
        self._house.settings |= scenario.environment()
        self._house.settings |= {"MCP_SCHEDULER_GPU_LOCKS": str(self._house.folder / "locks")}
        self._home.prepare()

    def _start(self) -> None:
        """An engine; not waited for."""
        with (self._house.home / "engine.log").open("ab") as log:
            self._engine = subprocess.Popen(
                self._house.command("engine", "--home", str(self._house.home)),
                env=self._house.environment, cwd=self._house.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self._started = time.monotonic()

    def _kill(self) -> None:
        assert self._engine is not None
        for token in self._running():
            self._hit[token] += 1
        self._engine.kill()
        self._engine.wait()

    def _client(self) -> OwnerClient:
        environ = self._house.environment
        functions = [str(self._house.folder / "work.py")]
        environment = capture_environment(python=sys.executable, functions=functions, environ=environ)
        hello = make_hello("owner", client="adoption", any_command=True, environment=environment, environ={})
        return OwnerClient(self._home, hello, start=False)

    def _ask(self, method: str, parameters: dict[str, Any]) -> Any:
        """Of the engine that runs, as soon as it answers."""
        until = time.monotonic() + PATIENCE
        while True:
            client = self._client()
            try:
                answer = client.call(method, parameters, timeout=PATIENCE)
            except Unavailable:
                assert time.monotonic() < until, f"no engine answers: {self._log()}"
                time.sleep(0.02)
            else:
                if self._started:
                    self._boots.append(time.monotonic() - self._started)
                    self._started = 0.0
                return answer
            finally:
                client.close()

    # -- tasks

    def _are_enough(self) -> bool:
        """Whether so many run; what is missing is submitted."""
        self._feed()
        self._under_way = len(self._running())
        return self._under_way >= UNDER_WAY

    def _feed(self) -> None:
        missing = ASKED - len(self._left_open())
        if missing <= 0:
            return
        tokens = [f"t{len(self._kinds) + number}" for number in range(missing)]
        tasks = [self._task(token) for token in tokens]
        ids = self._ask("submit_many", {"tasks": tasks})["ids"]
        for token, name in zip(tokens, ids, strict=True):
            self._ids[token] = name
            self._open.add(name)
            self._ledger.write("acknowledged", client="adoption", id=name, size=1, tasks={name: token})

    def _task(self, token: str) -> dict[str, Any]:
        on_gpus = sum(one.gpus > 0 for name, one in self._kinds.items() if self._ids.get(name, "") in {"", *self._open})
        kinds = [kind for kind in KINDS if not kind.gpus or on_gpus < ON_GPUS]
        kind = self._chance.choices(kinds, [one.weight for one in kinds])[0]
        value, seconds = self._chance.randrange(1000), self._chance.uniform(*SECONDS)
        self._kinds[token] = kind
        self._ledger.write(
            "asked", token=token, kind=kind.name, runs=1, reasons=["error"] if kind.code else [],
            result=None if kind.code else 2 * value,
        )  # fmt: skip
        return kind.fields(token, value, seconds, self._house.folder)

    def _left_open(self) -> set[str]:
        if self._open:
            report = self._ask("wait", {"ids": sorted(self._open), "mode": "any", "timeout": 0.1})
            self._open -= {task["id"] for task in report["done"]}
        return self._open

    def _running(self) -> set[str]:
        """The tokens of what has begun and is not through, by the witnesses."""
        begun, through = (
            {path.name.split(" ")[0] for path in (self._house.folder / name).iterdir()} for name in ("runs", "ends")
        )
        return begun - through

    def _until(self, condition: Any, what: str) -> None:
        until = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < until, f"not within {PATIENCE:.0f} s: {what}; {self._log()}"
            time.sleep(0.02)

    def _log(self) -> str:
        return (self._house.home / "engine.log").read_text(errors="replace")[-3000:]

    # -- the ends

    def _look_at_ends(self) -> list[str]:
        """Every task as the last engine tells it; what is wrong with it."""
        return [f"{token}: {wrong}" for token, name in self._ids.items() for wrong in self._wrong(token, name)]

    def _wrong(self, token: str, name: str) -> list[str]:
        kind, task = self._kinds[token], self._ask("get", {"id": name, "detail": True})
        hit = f"(the engine was killed {self._hit[token]} times while it ran)"
        if task["state"] not in FINAL or task.get("reason") in BY_FORCE:
            return [f"{kind.name} is {task['state']}, {task.get('reason')}: {task.get('error')} {hit}"]
        if kind.code:
            if task["attempts"][-1].get("exit_code") != kind.code:
                return [f"{kind.name} should exit with {kind.code}: {task} {hit}"]
            return []
        if task["state"] != "succeeded":
            return [f"{kind.name} should succeed: {task} {hit}"]
        if kind.is_command:
            told = self._ask("result", {"id": name})
            if (told["exit_code"], told["stdout_tail"]) != (0, OUTPUT):
                return [f"{kind.name} has lost something: {told} {hit}"]
        return []


def main() -> int:
    """Exit code 0 when every promise was kept."""
    parser = argparse.ArgumentParser("python -m campaigns.adoption", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="leave the folder for a look")
    given = parser.parse_args()
    with opened(dict(SETTINGS), keep=given.keep) as house:
        verdict = Adoption(house, given.kills, Random(given.seed)).run()
        if given.keep:
            print(f"kept: {house.folder}")
    return conclude(verdict)


if __name__ == "__main__":
    sys.exit(main())
