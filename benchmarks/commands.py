"""Commands a second: 500 × /bin/true on two slots, ours beside what keeps less, in one run.

    python benchmarks/commands.py [--count 500] [--rounds 3] [--peers ours,executor,popen,huey]

`ours` is the whole road: submitted through the owner's door, stored with fsync, placed, run under a shim, its exit
record on disk (fsync of the file and of its folder) before it is reported, its end stored with fsync. `executor` is the
part below the queue. `popen` is two threads with subprocess.Popen that keep nothing. `huey` (if installed) keeps the
queue in SQLite without fsync, and nothing of a task that runs. Absolute figures belong to this machine and this hour.
"""

# ruff: noqa: PLC0415, ASYNC240 - each road is imported where it is measured; nothing else runs on its loop

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

SLOTS = 2
WARM = 2.5  # seconds in which an engine that has just started loads what clients need
TRUE = "/bin/true"
HERE = Path(__file__).resolve().parent


def ours(count: int) -> float:
    """Through the door, as a client does it."""
    return asyncio.run(_ours(count))


async def _ours(count: int) -> float:
    from mcp_scheduler.hello import capture_environment, make_hello
    from mcp_scheduler.home import Home
    from mcp_scheduler.owner import OwnerClient

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        Path(folder, "config.toml").write_text(f"[pool]\ncpus = {SLOTS}\n")
        environment = capture_environment(python=sys.executable, functions=())
        hello = make_hello("owner", client="bench", principal="", any_command=True, environment=environment)

        def run() -> float:
            with OwnerClient(Home.find(folder), hello, start=True) as client:
                _batch(client, 20)
                time.sleep(WARM)
                _batch(client, 50)
                start = time.perf_counter()
                _batch(client, count)
                taken = time.perf_counter() - start
                client.call("stop", {})
                return taken

        return count / await asyncio.to_thread(run)


def _batch(client: Any, count: int) -> None:
    tasks = [{"command": [TRUE]} for _ in range(count)]
    made = client.call("submit_many", {"tasks": tasks})
    ids = made["ids"]
    left = len(ids)
    while left:
        report = client.call("wait", {"ids": ids, "mode": "all", "timeout": 45})
        left = report["remaining"]


def executor(count: int) -> float:
    """The local executor alone: no queue, no store."""
    return asyncio.run(_executor(count))


async def _executor(count: int) -> float:
    from mcp_scheduler.core.changes import Launch
    from mcp_scheduler.core.events import Ended
    from mcp_scheduler.core.ids import AttemptId
    from mcp_scheduler.core.task import Kind, Terms
    from mcp_scheduler.executors.local.executor import LocalExecutor
    from mcp_scheduler.executors.local.folders import Folders
    from mcp_scheduler.ports import Environment
    from mcp_scheduler.runtime.clock import SystemClock

    with tempfile.TemporaryDirectory(prefix="b-", dir="/tmp") as folder:
        root = Path(folder)
        local = LocalExecutor(Folders(root / "attempts", root / "results", root / "run", root / "tasks"), SystemClock())
        local.know(Environment("here", sys.executable, folder, variables={"PATH": os.environ["PATH"]}))
        terms = Terms(Kind.COMMAND, "true", "here", "bench")
        payload = json.dumps({"command": [TRUE], "cwd": folder, "env": {}}).encode()
        over = asyncio.Event()
        ended = 0
        launched = 0

        def launch() -> None:
            nonlocal launched
            launched += 1
            attempt = AttemptId(f"true-{launched}", 1)
            local.launch(Launch(str(attempt), "local", terms, (attempt,)), {attempt: payload})

        def report(event: object) -> None:
            nonlocal ended
            if isinstance(event, Ended):
                ended += 1
                local.settle([event.attempt])
                if launched < count:
                    launch()
                elif ended == count:
                    over.set()

        await local.start(report)
        await local.recover([], {})
        start = time.perf_counter()
        for _ in range(SLOTS):
            launch()
        await over.wait()
        taken = time.perf_counter() - start
        await local.close()
    return count / taken


def popen(count: int) -> float:
    """subprocess.Popen in two threads."""

    def one(_: int) -> None:
        with subprocess.Popen([TRUE], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
            process.communicate()

    with ThreadPoolExecutor(SLOTS) as pool:
        start = time.perf_counter()
        list(pool.map(one, range(count)))
        return count / (time.perf_counter() - start)


def huey(count: int) -> float:
    """Huey over SQLite, two worker processes."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        os.environ["BENCH_HUEY"] = str(Path(folder) / "huey.db")
        sys.path.insert(0, str(HERE))
        import huey_calls

        options = ["-w", str(SLOTS), "-k", "process", "-d", "0.001", "-m", "0.01", "-C"]
        command = [sys.executable, "-m", "huey.bin.huey_consumer", "huey_calls.huey", *options]
        with subprocess.Popen(command, cwd=HERE, stderr=subprocess.DEVNULL) as consumer:
            try:
                _huey_result(huey_calls.run_true())
                start = time.perf_counter()
                for result in [huey_calls.run_true() for _ in range(count)]:
                    assert _huey_result(result) == 0
                return count / (time.perf_counter() - start)
            finally:
                consumer.send_signal(signal.SIGTERM)


def _huey_result(result: Any) -> Any:
    return result.get(blocking=True, timeout=60, backoff=1, max_delay=0.001)


PEERS = {"ours": ours, "executor": executor, "popen": popen, "huey": huey}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", default="ours,executor,popen,huey")
    parser.add_argument("--only", default="", help=argparse.SUPPRESS)  # one peer, in this process
    chosen = parser.parse_args()
    if chosen.only:
        print(PEERS[chosen.only](chosen.count))
        return 0
    seen: dict[str, list[float]] = {}
    for number in range(chosen.rounds):
        for peer in chosen.peers.split(","):
            command = [sys.executable, __file__, "--only", peer, "--count", str(chosen.count)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
            if done.returncode:
                print(f"{peer} could not be run: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
                continue
            rate = float(done.stdout.split()[-1])
            seen.setdefault(peer, []).append(rate)
            load = os.getloadavg()[0]
            print(f"round {number + 1} {peer}: {rate:,.0f}/s (load average {load:.1f})", file=sys.stderr)
    print(f"\n{os.cpu_count()} CPUs, Python {platform.python_version()}, {platform.system()} {platform.release()}; "
          f"medians of {chosen.rounds} interleaved rounds of {chosen.count} × {TRUE}, {SLOTS} slots\n")  # fmt: skip
    print("| | commands/s |\n|---|---|")
    for peer, rates in seen.items():
        print(f"| {peer} | {statistics.median(rates):,.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
