"""The same work through what a user would pick instead. Each peer is a process of its own and prints one JSON line.

    python benchmarks/peers.py NAME COUNT      (NAME: ours, bare, pool, huey, dask; ours:fifo is ours with that policy)

Work: COUNT no-op calls, from the first submission to the last result, with two worker processes; then the time to
submit one call, and its round trip, one after the other (medians and 99th percentiles of 200).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

WORKERS = 2
SINGLES = 200
HERE = Path(__file__).resolve().parent


def noop(value: int = 0) -> int:
    """The work: none."""
    return value


def figures(
    count: int, bulk: float, submits: list[float], trips: list[float], cpu: float = float("nan")
) -> dict[str, float]:
    """The line that is printed: calls per second, and times in milliseconds; `cpu`: seconds of the processor that this
    process took for all calls, where that was measured."""
    return {
        "per_second": count / bulk,
        "cpu_us": cpu / count * 1e6,
        "submit_p50_ms": statistics.median(submits) * 1000,
        "submit_p99_ms": _percentile(submits, 0.99) * 1000,
        "round_trip_p50_ms": statistics.median(trips) * 1000,
        "round_trip_p99_ms": _percentile(trips, 0.99) * 1000,
    }


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def ours(count: int, policy: str = "") -> dict[str, float]:
    """mcp_scheduler through its Python door: durable, fsync before every acknowledgement. `policy`: "" for the one by
    default."""
    return asyncio.run(_ours(count, policy))


async def _ours(count: int, policy: str) -> dict[str, float]:
    from mcp_scheduler import Scheduler  # noqa: PLC0415 - each peer is imported in its own process alone
    from mcp_scheduler.app import tune  # noqa: PLC0415

    tune()  # as the engine's own process is

    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        async with Scheduler.open(home, functions=[HERE / "calls.py"]) as scheduler:
            if policy:
                await scheduler.policy(policy)
            await scheduler.gather(await scheduler.submit_many([_call(number) for number in range(200)]))
            start, spent = time.perf_counter(), time.process_time()
            handles = await scheduler.submit_many([_call(number) for number in range(count)])
            results = await scheduler.gather(handles)
            bulk, cpu = time.perf_counter() - start, time.process_time() - spent
            assert results == list(range(count))
            submits: list[float] = []
            trips: list[float] = []
            for number in range(SINGLES):
                start = time.perf_counter()
                handle = await scheduler.submit("calls.noop", value=number)
                submits.append(time.perf_counter() - start)
                assert await handle.result() == number
                trips.append(time.perf_counter() - start)
    return figures(count, bulk, submits, trips, cpu)


def _call(number: int) -> dict[str, object]:
    return {"function": "calls.noop", "arguments": {"value": number}}


def bare(count: int) -> dict[str, float]:
    """The floor of this machine (`bare.py`): durable as ours, and nothing else."""
    return asyncio.run(_bare(count))


async def _bare(count: int) -> dict[str, float]:
    from bare import Bare  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        async with Bare(Path(folder), WORKERS) as floor:
            await asyncio.gather(*await floor.submit(range(200)))
            start = time.perf_counter()
            assert await asyncio.gather(*await floor.submit(range(count))) == list(range(count))
            bulk = time.perf_counter() - start
            submits: list[float] = []
            trips: list[float] = []
            for number in range(SINGLES):
                start = time.perf_counter()
                (result,) = await floor.submit([number])
                submits.append(time.perf_counter() - start)
                assert await result == number
                trips.append(time.perf_counter() - start)
    return figures(count, bulk, submits, trips)


def pool(count: int) -> dict[str, float]:
    """concurrent.futures.ProcessPoolExecutor: keeps nothing."""
    from concurrent.futures import ProcessPoolExecutor  # noqa: PLC0415

    with ProcessPoolExecutor(WORKERS) as executor:
        list(executor.map(noop, range(200)))
        start = time.perf_counter()
        futures = [executor.submit(noop, number) for number in range(count)]
        assert [future.result() for future in futures] == list(range(count))
        bulk = time.perf_counter() - start
        submits, trips = _one_by_one(executor.submit, lambda future: future.result())
    return figures(count, bulk, submits, trips)


def huey(count: int) -> dict[str, float]:
    """Huey over SQLite (its own defaults, fsync off at commit): pending tasks survive, running ones do not."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        os.environ["BENCH_HUEY"] = str(Path(folder) / "huey.db")
        sys.path.insert(0, str(HERE))
        import huey_calls  # noqa: PLC0415 - reads the variable above

        options = ["-w", str(WORKERS), "-k", "process", "-d", "0.001", "-m", "0.01", "-C"]
        command = [sys.executable, "-m", "huey.bin.huey_consumer", "huey_calls.huey", *options]
        with subprocess.Popen(command, cwd=HERE, stderr=subprocess.DEVNULL) as consumer:
            try:
                huey_calls.noop(0).get(blocking=True, timeout=30)
                start = time.perf_counter()
                results = [huey_calls.noop(number) for number in range(count)]
                assert [_huey_result(result) for result in results] == list(range(count))
                bulk = time.perf_counter() - start
                submits, trips = _one_by_one(lambda _, number: huey_calls.noop(number), _huey_result)
            finally:
                consumer.send_signal(signal.SIGTERM)
    return figures(count, bulk, submits, trips)


def _huey_result(result: object) -> object:
    return result.get(blocking=True, timeout=60, backoff=1, max_delay=0.001)  # type: ignore[attr-defined]


def dask(count: int) -> dict[str, float]:
    """Dask distributed, a local cluster: keeps nothing."""
    from distributed import Client, LocalCluster  # noqa: PLC0415

    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.gather(client.map(noop, range(200), pure=False))
        start = time.perf_counter()
        futures = client.map(noop, range(count), pure=False)
        assert client.gather(futures) == list(range(count))
        bulk = time.perf_counter() - start
        submits, trips = _one_by_one(
            lambda call, number: client.submit(call, number, pure=False), lambda future: future.result()
        )
    return figures(count, bulk, submits, trips)


def _one_by_one(submit: Callable[..., object], result: Callable[..., object]) -> tuple[list[float], list[float]]:
    submits: list[float] = []
    trips: list[float] = []
    for number in range(SINGLES):
        start = time.perf_counter()
        future = submit(noop, number)
        submits.append(time.perf_counter() - start)
        assert result(future) == number
        trips.append(time.perf_counter() - start)
    return submits, trips


PEERS = {"bare": bare, "pool": pool, "huey": huey, "dask": dask}

if __name__ == "__main__":
    name, _, chosen = sys.argv[1].partition(":")
    size = int(sys.argv[2])
    print(json.dumps(ours(size, chosen) if name == "ours" else PEERS[name](size)))
