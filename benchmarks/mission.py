"""The two tables of the project's mission, measured: reads beside writes, and many clients at once.

    python benchmarks/mission.py mixes    [--seconds 5]          eight callers through `Scheduler`
    python benchmarks/mission.py clients  [--seconds 10] [--counts 10,50,500]   MCP clients over the engine's socket

mixes: reads are `get` and `list` (of 20), writes are `submit` (of a task that waits for an hour) and `cancel`, each
acknowledged after its fsync. In a burst every caller does 50 of one kind, then 50 of the other. The mission quotes
128,000 and 86,000 operations/s on eight servers, so 16,000 and 10,800 a server, at P99 of 4.5 and 11.3 ms.

clients: each one submits a no-op function and reads it back, in a loop; an answer later than 5 s counts as a timeout.
The mission quotes 12 ms and 0.1 % timeouts at 10 clients, 218 ms and 14.3 % at 50. The clients are one more process of
the same machine, and no real client library: a small one, so that it is the engine that is measured. What a call takes
of the processor is told for both processes: it says more than the clock where a machine is shared.
"""

# ruff: noqa: PLC0415 - each part loads what it measures

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CALLERS = 8
PATIENCE = 5.0
MIXES = {"90/10": 0.9, "30/70": 0.3, "50/50": 0.5, "bursts": None}
LATER = {"function": "calls.noop", "start_after": 3600}


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0


# --- reads beside writes


async def mixes(seconds: float) -> None:
    from mcp_scheduler import Scheduler
    from mcp_scheduler.app import tune

    tune()
    print("| reads/writes | operations/s | mean ms | P99 ms | reads P99 | writes P99 |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        async with Scheduler.open(home, functions=[HERE / "calls.py"]) as scheduler:
            known = [handle.id for handle in await scheduler.submit_many([LATER] * 1000)]
            for name, share in MIXES.items():
                took: dict[str, list[float]] = {"read": [], "write": []}
                start = time.perf_counter()
                await asyncio.gather(
                    *(_caller(scheduler, known, share, start + seconds, took, seed) for seed in range(CALLERS))
                )
                spent = time.perf_counter() - start
                both = took["read"] + took["write"]
                tails = [percentile(one, 0.99) * 1e3 for one in (both, took["read"], took["write"])]
                print(f"| {name} | {len(both) / spent:,.0f} | {sum(both) / len(both) * 1e3:.2f} | "
                      + " | ".join(f"{tail:.2f}" for tail in tails) + " |", flush=True)  # fmt: skip


async def _caller(
    scheduler: Any, known: list[str], share: float | None, until: float, took: dict[str, list[float]], seed: int
) -> None:
    chance = random.Random(seed)
    mine: list[str] = []
    number = 0

    async def read() -> None:
        if chance.random() < 0.5:
            await scheduler.get(chance.choice(known))
        else:
            await scheduler.list(limit=20)

    async def write() -> None:
        if mine and chance.random() < 0.5:
            await scheduler.cancel([mine.pop()])
        else:
            mine.append((await scheduler.submit("calls.noop", options={"start_after": 3600})).id)

    while time.perf_counter() < until:
        number += 1
        is_read = number // 50 % 2 == 0 if share is None else chance.random() < share
        start = time.perf_counter()
        await (read() if is_read else write())
        took["read" if is_read else "write"].append(time.perf_counter() - start)
        if share is None and not is_read:
            continue
        await asyncio.sleep(0)  # a read never waits: without this one caller would keep the loop


# --- many clients at once


class Client:
    """One MCP client, 2025-11-25, over the engine's socket: requests one after the other."""

    def __init__(self, home: str, number: int) -> None:
        self._home, self._number = home, number
        self._next = 0

    async def open(self) -> None:
        from mcp_scheduler.hello import capture_environment, make_hello
        from mcp_scheduler.home import Home

        environment = capture_environment(functions=[str(HERE / "calls.py")])
        hello = make_hello("mcp", client="bench", principal=f"client-{self._number}", environment=environment)
        address = Home.find(self._home).engine_address()
        self._reader, self._writer = await asyncio.open_unix_connection(address, limit=1 << 24)
        self._writer.write(json.dumps(hello).encode() + b"\n")
        await self._reader.readline()  # the welcome
        told = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
        await self.request("initialize", told)
        self._writer.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')

    async def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._next += 1
        line = json.dumps({"jsonrpc": "2.0", "id": self._next, "method": method, "params": params})
        self._writer.write(line.encode() + b"\n")
        while True:
            answer = json.loads(await self._reader.readline())
            if answer.get("id") == self._next:
                return answer

    async def tool(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        answer = await self.request("tools/call", {"name": name, "arguments": arguments})
        result = answer["result"]
        if result.get("isError"):
            raise RuntimeError(result["content"][0]["text"])
        return result["structuredContent"]

    def close(self) -> None:
        self._writer.close()


async def _loop(client: Client, until: float, took: list[float], troubles: list[str]) -> None:
    task = ""
    number = 0
    while time.perf_counter() < until:
        number += 1
        call = ("submit_task", {"function": "calls.noop"}) if number % 2 else ("get_task", {"id": task})
        start = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE):
                task = str((await client.tool(*call)).get("id", task))
        except TimeoutError:
            troubles.append("timeout")
            return  # the connection's order is lost with its answer
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            troubles.append(f"{type(error).__name__}: {error}")
            return
        took.append(time.perf_counter() - start)


async def many(home: str, engine: int, count: int, seconds: float) -> dict[str, Any]:
    """The clients' process."""
    clients = [Client(home, number) for number in range(count)]
    for start in range(0, count, 50):
        await asyncio.gather(*(client.open() for client in clients[start : start + 50]))
    await asyncio.gather(*(client.tool("list_functions", {}) for client in clients[:1]))
    took: list[float] = []
    troubles: list[str] = []
    until = time.perf_counter() + seconds
    before = processor(engine), time.process_time()
    await asyncio.gather(*(_loop(client, until, took, troubles) for client in clients))
    spent = processor(engine) - before[0], time.process_time() - before[1]
    for client in clients:
        client.close()
    mean = sum(took) / len(took)
    return {"count": len(took), "mean": mean, "p99": percentile(took, 0.99), "troubles": troubles, "spent": spent}


def processor(pid: int) -> float:
    """Seconds of the processor that a process has taken, without its children."""
    import psutil

    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def contention(counts: list[int], seconds: float) -> None:
    print("| clients | calls/s | mean ms | P99 ms | timeouts | errors | engine µs/call | clients µs/call |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        engine = start(home)
        try:
            for count in counts:
                command = [sys.executable, __file__, "--many", home, str(engine), str(count), str(seconds)]
                done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 120, check=True)
                told = json.loads(done.stdout.strip().splitlines()[-1])
                timeouts = told["troubles"].count("timeout")
                errors = [text for text in told["troubles"] if text != "timeout"]
                asked = told["count"] + len(told["troubles"])
                print(f"| {count} | {told['count'] / seconds:,.0f} | {told['mean'] * 1e3:.1f} "
                      f"| {told['p99'] * 1e3:.1f} | {timeouts / asked:.2%} | {len(errors)} {' '.join(errors[:1])} | "
                      + " | ".join(f"{spent / told['count'] * 1e6:.0f}" for spent in told["spent"]) + " |",
                      flush=True)  # fmt: skip
        finally:
            stop(engine)


def start(home: str) -> int:
    """An engine, as any door starts it; its process id."""
    from mcp_scheduler.door import Opening, open_door
    from mcp_scheduler.hello import make_hello
    from mcp_scheduler.home import Home

    found = Home.find(home)
    found.prepare()
    opening = Opening(found, make_hello("owner", client="bench"))
    connection = open_door(opening)
    connection.socket.close()
    return connection.engine["pid"]


def stop(engine: int) -> None:
    """Returns when the engine has ended."""
    import psutil

    process = psutil.Process(engine)
    process.terminate()
    process.wait(30)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("table", nargs="?", choices=["mixes", "clients"])
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--counts", default="10,50,500")
    parser.add_argument("--many", nargs=4, metavar=("HOME", "ENGINE", "COUNT", "SECONDS"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.many:
        home, engine, count, seconds = chosen.many
        print(json.dumps(asyncio.run(many(home, int(engine), int(count), float(seconds)))))
    elif chosen.table == "clients":
        contention([int(count) for count in chosen.counts.split(",")], chosen.seconds or 10.0)
    else:
        asyncio.run(mixes(chosen.seconds or 5.0))
    return 0


if __name__ == "__main__":
    sys.exit(main())
