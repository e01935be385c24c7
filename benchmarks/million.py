"""`make bench-million`: does the length of the queue cost anything?

    python benchmarks/million.py [--count 1000000] [--shapes 1000] [--sample 500] [--rounds 25]

Two homes: one keeps `--shapes` tasks queued, the other `--count`, both in as many different shapes, each with needs of
its own, of 20 priorities and 50 principals, and with a deadline for one task in twenty. By turns, so that both see the
same hours of the machine, each queue is let go until `--sample` no-op calls have ended, paused, and filled up again,
`--rounds` times. Of the longer queue also: the memory of the engine's process, and the time that a new engine needs
until it answers.

No two calls of different needs share a window, so each call is a round trip through the engine here: this is not the
throughput of equal calls.
"""

# ruff: noqa: PLC0415 - loaded in the process that is measured alone

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
AT_ONCE = 1_000  # tasks in one submission
PRINCIPALS = 50
LOOK = 0.01  # seconds between two looks at how many have ended
MOST = 600.0  # seconds that a sample may take


class House:
    """An engine over a home, and those who submit to it."""

    def __init__(self, engine: Any) -> None:
        from mcp_scheduler.hello import capture_environment, environment_key
        from mcp_scheduler.ports import Environment
        from mcp_scheduler.requests import Caller

        sources = (str(HERE / "calls.py"),)
        told = capture_environment(python=sys.executable, functions=sources)
        key = environment_key(told)
        engine.service.know(
            Environment(key, told["python"], told["cwd"], tuple(told["path"]), sources, told["variables"])
        )
        self.service = engine.service
        self.callers = [Caller(principal=f"principal-{number}", environment=key) for number in range(PRINCIPALS)]
        self.submitted = 0

    async def submit(self, count: int, shapes: int) -> None:
        """Queue so many more."""
        from mcp_scheduler.requests import SubmitMany, TaskSpec

        while count > 0:
            batch = min(count, AT_ONCE)
            caller = self.submitted // AT_ONCE % PRINCIPALS
            specs = [TaskSpec.model_validate(_fields(self.submitted + step, caller, shapes)) for step in range(batch)]
            await self.service.submit_many(self.callers[caller], SubmitMany.model_construct(tasks=specs))
            self.submitted += batch
            count -= batch

    async def ended(self) -> int:
        counts = (await self.service.load(self.callers[0])).counts
        assert not counts.get("failed"), counts
        return counts.get("succeeded", 0)

    async def waiting(self) -> int:
        counts = (await self.service.load(self.callers[0])).counts
        return counts.get("queued", 0) + counts.get("running", 0)

    async def sample(self, count: int) -> float:
        """Let the queue go until so many have ended; how many a second."""
        goal, start = await self.ended() + count, time.perf_counter()
        await self.service.resume(self.callers[0])
        async with asyncio.timeout(MOST):
            while (now := await self.ended()) < goal:  # noqa: ASYNC110 - ends are counted, not told
                await asyncio.sleep(LOOK)
        seconds = time.perf_counter() - start
        await self.service.pause(self.callers[0])
        return (count + now - goal) / seconds


def _fields(number: int, caller: int, shapes: int) -> dict[str, Any]:
    """Each shape has its needs, its priority and its principal."""
    place = number * PRINCIPALS % shapes + caller
    fields: dict[str, Any] = {
        "function": "calls.noop",
        "arguments": {"value": number},
        "needs": {"cpus": 1, "memory": (place + 1) * 1024},
        "priority": place // PRINCIPALS % 20,
    }
    if number % 20 == 0:
        fields["deadline"] = 30 * 86_400.0 + place
    return fields


@asynccontextmanager
async def opened(folder: str) -> AsyncGenerator[House]:
    from mcp_scheduler.app import tune
    from mcp_scheduler.engine import Engine
    from mcp_scheduler.home import EngineLock, Home

    tune()
    home = Home.find(folder)
    home.prepare()
    lock = EngineLock.take(home)
    assert lock is not None
    async with await Engine.open(home, lock, embedded=True, queue={"max_queued": 10**9}) as engine:
        yield House(engine)


async def queue(folder: str, count: int, shapes: int, sample: int) -> None:
    """Fill a queue, and let it go at each line that is read. What was seen is told as lines, too."""
    async with opened(folder) as house:
        await house.service.pause(house.callers[0])
        start = time.perf_counter()
        await house.submit(count, shapes)
        _tell(filled=time.perf_counter() - start)
        while await asyncio.to_thread(sys.stdin.readline):
            rate = await house.sample(sample)
            await house.submit(count - await house.waiting(), shapes)
            _tell(rate=rate, mib=_mib())


def _tell(**found: float) -> None:
    print(json.dumps(found), flush=True)


class Queue:
    """A queue in a process of its own."""

    def __init__(self, home: str, count: int, protocol: argparse.Namespace) -> None:
        self.count = count
        self.rates: list[float] = []
        self.mib = 0
        words = ("--part", "queue", "--home", home, "--count", count)
        words += ("--shapes", protocol.shapes, "--sample", protocol.sample)
        self._process = subprocess.Popen(
            [sys.executable, __file__, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.filled: float = self._read()["filled"]

    def sample(self) -> float:
        assert self._process.stdin is not None
        print("go on", file=self._process.stdin, flush=True)
        seen = self._read()
        self.mib = seen["mib"]
        return seen["rate"]

    def close(self) -> None:
        self._process.communicate()
        assert self._process.returncode == 0

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


async def restart(folder: str) -> dict[str, Any]:
    """Open the home anew, and ask something."""
    start = time.perf_counter()
    async with opened(folder) as house:
        counts = (await house.service.load(house.callers[0])).counts
        return {"seconds": time.perf_counter() - start, "queued": counts.get("queued", 0), "mib": _mib()}


def _mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _alone(*words: object) -> dict[str, Any]:
    """One of the measurements, in a process of its own."""
    command = [sys.executable, __file__, *(str(word) for word in words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--shapes", type=int, default=1000)
    parser.add_argument("--sample", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--part", choices=["queue", "restart"], help=argparse.SUPPRESS)
    parser.add_argument("--home", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.part == "queue":
        asyncio.run(queue(chosen.home, chosen.count, chosen.shapes, chosen.sample))
    elif chosen.part == "restart":
        print(json.dumps(asyncio.run(restart(chosen.home))))
    else:
        _compare(chosen)
    return 0


def _compare(chosen: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as brief, tempfile.TemporaryDirectory(prefix="bench-") as long:
        queues = [Queue(brief, chosen.shapes, chosen), Queue(long, chosen.count, chosen)]
        for number in range(chosen.rounds + 1):
            for one in queues if number % 2 else reversed(queues):
                rate = one.sample()
                if number:  # the first one starts workers and learns how long the calls take
                    one.rates.append(rate)
        for one in queues:
            one.close()
            print(f"{one.count:>9,} queued: {statistics.median(one.rates):7.0f} calls/s (median of {chosen.rounds}: "
                  f"{', '.join(f'{rate:.0f}' for rate in one.rates)}); filled in {one.filled:.1f} s; "
                  f"{one.mib} MiB at most")  # fmt: skip
        again = _alone("--part", "restart", "--home", long)
        print(f"{'':>9} a new engine with {again['queued']:,} queued answers after {again['seconds']:.1f} s; "
              f"{again['mib']} MiB")  # fmt: skip
    of_each = [long / brief for brief, long in zip(queues[0].rates, queues[1].rates, strict=True)]
    print(f"the longer queue has {statistics.median(of_each):.0%} of the shorter one's rate (median of the rounds; "
          f"{statistics.median(queues[1].rates) / statistics.median(queues[0].rates):.0%} by the medians)")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
