"""Two shapes of work beside their peers, each peer in a process of its own: seconds, medians of interleaved rounds.

    python benchmarks/shapes.py [--rounds 5] [--peers ours,pool,dask]

- graph: 1,000 no-op tasks in 20 layers of 50; each waits for three of the layer before. Submitted at once, two workers.
  ProcessPoolExecutor knows no graphs: it is driven by hand, layer by layer is not enough, so by callbacks.
- sleeps: 64 calls that sleep 50 ms on 8 slots; the ideal is 0.400 s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
LAYERS, WIDTH, WAITS = 20, 50, 3
SLEEPS, SLOTS, NAP = 64, 8, 0.05


def graph() -> dict[str, list[str]]:
    """Key → the keys it waits for."""
    found: dict[str, list[str]] = {}
    for layer in range(LAYERS):
        for place in range(WIDTH):
            found[f"l{layer}p{place}"] = (
                [f"l{layer - 1}p{(place + step) % WIDTH}" for step in range(WAITS)] if layer else []
            )
    return found


def noop(value: int = 0) -> int:
    """The work: none."""
    return value


def nap(seconds: float) -> float:
    """The work: waiting."""
    time.sleep(seconds)
    return seconds


async def ours(shape: str) -> float:
    """mcp_scheduler through its Python door; every step durable."""
    os.environ["MCP_SCHEDULER_POOL__CPUS"] = str(2 if shape == "graph" else SLOTS)
    from mcp_scheduler import Scheduler  # noqa: PLC0415 - each peer is imported in its own process alone
    from mcp_scheduler.app import tune  # noqa: PLC0415

    tune()
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        async with Scheduler.open(home, functions=[HERE / "calls.py"]) as scheduler:
            # Every slot has a warm worker, as a pool's workers are there before the clock starts. By another function:
            # how long the measured one takes is learnt while the clock runs.
            warm = [{"function": "calls.hold", "arguments": {"seconds": 1.0}}] * (2 if shape == "graph" else SLOTS)
            await scheduler.gather(await scheduler.submit_many(warm))
            await scheduler.gather(await scheduler.submit_many([{"function": "calls.noop"}] * 20))
            start = time.perf_counter()
            if shape == "graph":
                tasks = {key: {"function": "calls.noop", "after": after} for key, after in graph().items()}
                view = await (await scheduler.submit_graph(tasks)).wait()
                assert view.state == "succeeded", view
            else:
                naps = [{"function": "calls.nap", "arguments": {"seconds": NAP}}] * SLEEPS
                await scheduler.gather(await scheduler.submit_many(naps))
            return time.perf_counter() - start


async def pool(shape: str) -> float:
    """concurrent.futures.ProcessPoolExecutor: keeps nothing."""
    from concurrent.futures import ProcessPoolExecutor  # noqa: PLC0415

    with ProcessPoolExecutor(2 if shape == "graph" else SLOTS) as executor:
        list(executor.map(nap, [1.0] * SLOTS))
        start = time.perf_counter()
        if shape == "graph":
            _by_hand(executor)
        else:
            list(executor.map(nap, [NAP] * SLEEPS))
        return time.perf_counter() - start


def _by_hand(executor: object) -> None:
    """Submit each task when the last one that it waits for has ended."""
    waits = {key: len(after) for key, after in graph().items()}
    followers: dict[str, list[str]] = defaultdict(list)
    for key, after in graph().items():
        for other in after:
            followers[other].append(key)
    lock, over, left = threading.Lock(), threading.Event(), [len(waits)]

    def ended(key: str) -> None:
        free: list[str] = []
        with lock:
            left[0] -= 1
            for other in followers[key]:
                waits[other] -= 1
                if not waits[other]:
                    free.append(other)
            if not left[0]:
                over.set()
        for other in free:
            start(other)

    def start(key: str) -> None:
        executor.submit(noop).add_done_callback(lambda _: ended(key))  # type: ignore[attr-defined]

    for key in [key for key, count in waits.items() if not count]:
        start(key)
    assert over.wait(60)


async def dask(shape: str) -> float:
    """Dask distributed, a local cluster: keeps nothing."""
    from distributed import Client, LocalCluster  # noqa: PLC0415

    workers = 2 if shape == "graph" else SLOTS
    with (
        LocalCluster(n_workers=2, threads_per_worker=workers // 2, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.gather(client.map(nap, [0.05] * 16, pure=False))
        start = time.perf_counter()
        if shape == "graph":
            made: dict[str, object] = {}
            for key, after in graph().items():
                made[key] = client.submit(_joined, *[made[other] for other in after], pure=False)
            client.gather(list(made.values()))
        else:
            client.gather(client.map(nap, [NAP] * SLEEPS, pure=False))
        return time.perf_counter() - start


def _joined(*_: object) -> int:
    return 0


PEERS = {"ours": ours, "pool": pool, "dask": dask}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default="ours,pool,dask")
    parser.add_argument("--one", nargs=2, metavar=("PEER", "SHAPE"), help="one measurement, in this process")
    chosen = parser.parse_args()
    if chosen.one:
        peer, shape = chosen.one
        print(json.dumps(asyncio.run(PEERS[peer](shape))))
        return 0
    seen: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(chosen.rounds):
        for peer in chosen.peers.split(","):
            for shape in ("graph", "sleeps"):
                command = [sys.executable, str(HERE / "shapes.py"), "--one", peer, shape]
                done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
                if done.returncode:
                    print(f"{peer} could not be run: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
                else:
                    seen[peer, shape].append(json.loads(done.stdout.strip().splitlines()[-1]))
    print("| | 1,000-task graph, s | 64 × 50 ms on 8 slots, s |\n|---|---|---|")
    for peer in chosen.peers.split(","):
        cells = [statistics.median(seen[peer, shape]) for shape in ("graph", "sleeps") if seen[peer, shape]]
        if cells:
            print(f"| {peer} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
