"""`make profile`: where the processor time of one no-op task goes, stage by stage, from submission to result.

    python benchmarks/profile.py [--count 10000] [--rounds 3]

Each stage is a function of the program; what it calls that is a stage itself is counted there alone. Times are those
of the processor (`thread_time`), so other load on the machine changes them little; the timer costs about a
microsecond a visit. `--plain` leaves the stages out, and tells what threads and processes take.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import os
import resource
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


class Stages:
    """Exclusive processor time and visits by stage, for each thread."""

    def __init__(self) -> None:
        self.seconds: dict[tuple[str, str], float] = defaultdict(float)
        self.visits: dict[tuple[str, str], int] = defaultdict(int)
        self._local = threading.local()

    def wrap(self, owner: Any, name: str, label: str) -> None:
        setattr(owner, name, self._timed(getattr(owner, name), label))

    def _timed(self, inner: Callable[..., Any], label: str) -> Callable[..., Any]:
        @functools.wraps(inner)
        def timed(*args: Any, **kwargs: Any) -> Any:
            local = self._local
            stack: list[float] = getattr(local, "stack", None) or []
            local.stack = stack
            thread = threading.current_thread().name
            stack.append(0.0)
            start = time.thread_time()
            try:
                return inner(*args, **kwargs)
            finally:
                spent = time.thread_time() - start
                inside = stack.pop()
                if stack:
                    stack[-1] += spent
                self.seconds[thread, label] += spent - inside
                self.visits[thread, label] += 1

        return timed

    def clear(self) -> None:
        self.seconds.clear()
        self.visits.clear()


def instrument(stages: Stages) -> None:
    """The stages of a task's way, in its order."""
    from mcp_scheduler.core import decide as decide_module  # noqa: PLC0415
    from mcp_scheduler.core.cluster import Cluster  # noqa: PLC0415
    from mcp_scheduler.executors.local import executor, settling, worker  # noqa: PLC0415
    from mcp_scheduler.executors.local.links import FrameLink  # noqa: PLC0415
    from mcp_scheduler.runtime import effects, loop  # noqa: PLC0415
    from mcp_scheduler.runtime.watch import Watch  # noqa: PLC0415
    from mcp_scheduler.service import compose, look  # noqa: PLC0415
    from mcp_scheduler.store import writer, writing  # noqa: PLC0415

    stages.wrap(compose.Composer, "task", "compose: check the call, make the task and its payload")
    stages.wrap(loop, "decide", "decide: settle and place")
    stages.wrap(decide_module, "place", "decide: placement")
    stages.wrap(Cluster, "apply", "apply: make durable facts visible")
    stages.wrap(loop.Loop, "_publish", "publish: tell waiters and readers")
    stages.wrap(look.Look, "committed", "publish: what replies show")
    stages.wrap(Watch, "ended", "publish: wake waiters")
    stages.wrap(effects.Effects, "committed", "effects: keep and drop payloads")
    stages.wrap(effects.Effects, "carry_out", "effects: carry out")
    stages.wrap(executor.LocalExecutor, "launch", "executor: launch")
    stages.wrap(executor.LocalExecutor, "settle", "executor: settle")
    stages.wrap(executor.LocalExecutor, "flush", "executor: send calls")
    stages.wrap(settling.Settling, "flush", "executor: acknowledge")
    stages.wrap(FrameLink, "data_received", "executor: split and decode frames")
    stages.wrap(worker.Worker, "_heard", "executor: hear workers")
    stages.wrap(executor.LocalExecutor, "ended", "executor: make outcomes")
    stages.wrap(writer.Writer, "commit", "store: transaction, fsync")
    for name in ("_add", "_start", "_end", "_update"):
        stages.wrap(writing, name, f"store: rows ({name[1:]})")


async def run(count: int, stages: Stages) -> dict[str, float]:
    from mcp_scheduler import Scheduler  # noqa: PLC0415
    from mcp_scheduler.app import tune  # noqa: PLC0415

    tune()
    calls = [{"function": "calls.noop", "arguments": {"value": number}} for number in range(count)]
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        async with Scheduler.open(home, functions=[HERE / "calls.py"]) as scheduler:
            await scheduler.gather(await scheduler.submit_many(calls[:500]))
            stages.clear()
            workers = _workers_time()
            main, whole, start = time.thread_time(), time.process_time(), time.perf_counter()
            results = await scheduler.gather(await scheduler.submit_many(calls))
            wall = time.perf_counter() - start
            main, whole = time.thread_time() - main, time.process_time() - whole
            workers = _workers_time() - workers
            assert results == list(range(count))
    return {"wall": wall, "main": main, "others": whole - main, "workers": workers}


def _workers_time() -> float:
    """Processor seconds of the descendants that live now."""
    import psutil  # noqa: PLC0415

    times = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return sum(one.user + one.system for one in times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plain", action="store_true", help="without stages: only the times of threads and processes")
    chosen = parser.parse_args()
    stages = Stages()
    if not chosen.plain:
        instrument(stages)
    best = min((asyncio.run(run(chosen.count, stages)) for _ in range(chosen.rounds)), key=lambda one: one["main"])
    scale = 1e6 / chosen.count
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{chosen.count:,} no-op calls, {os.cpu_count()} CPUs, Python {sys.version.split()[0]}, {memory} MiB")
    print("µs of processor time a task\n")
    for title, key in (("engine, event loop", "main"), ("engine, other threads", "others"), ("workers", "workers")):
        print(f"{best[key] * scale:7.1f}  {title}")
    print(f"{best['wall'] * scale:7.1f}  wall: {chosen.count / best['wall']:,.0f} tasks/s\n")
    for thread in sorted({thread for thread, _ in stages.seconds}):
        rows = {label: spent for (one, label), spent in stages.seconds.items() if one == thread}
        for label, spent in sorted(rows.items(), key=lambda row: -row[1]):
            print(f"{spent * scale:7.1f}  {thread:13} {label}  ({stages.visits[thread, label]} visits)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
