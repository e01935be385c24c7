"""Where the time of one call goes on the clock, from its submission to its result, when nothing else is under way.

    python benchmarks/trip.py [--count 300]

A call is submitted, its result is awaited, then the next one is submitted. Each line is the time from the one before it
to the moment that it names: the median of all calls, in microseconds. Half of the way is waiting: for the disk (twice:
when the call is accepted and begun, and when it has ended), for the worker's process, and, for one commit in sixteen,
for the thread that writes.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import inspect
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
START = "start"


class Marks:
    """Moments of one call, in their order."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, float]] = []

    def set(self, label: str) -> None:
        self._seen.append((label, time.perf_counter()))

    def take(self) -> list[tuple[str, float]]:
        """Those of this call; the next one begins."""
        seen, self._seen = self._seen, []
        return seen

    def before(self, owner: Any, name: str, label: str) -> None:
        """A moment: `name` is called."""
        self._wrap(owner, name, label, after=False)

    def after(self, owner: Any, name: str, label: str) -> None:
        """A moment: `name` has returned."""
        self._wrap(owner, name, label, after=True)

    def _wrap(self, owner: Any, name: str, label: str, *, after: bool) -> None:
        inner: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(inner)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if not after:
                self.set(label)
            found = inner(*args, **kwargs)
            if after:
                self.set(label)
            return found

        @functools.wraps(inner)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            if not after:
                self.set(label)
            found = await inner(*args, **kwargs)
            if after:
                self.set(label)
            return found

        setattr(owner, name, awaited if inspect.iscoroutinefunction(inner) else timed)


def instrument(marks: Marks) -> None:
    """The moments of a call, in their order. The second half of them comes twice: for its begin and for its end."""
    from mcp_scheduler.runtime import loop  # noqa: PLC0415
    from mcp_scheduler.runtime.effects import Effects  # noqa: PLC0415
    from mcp_scheduler.scheduler import Scheduler  # noqa: PLC0415
    from mcp_scheduler.store import writer  # noqa: PLC0415
    from mcp_scheduler.store.sqlite import SqliteStore  # noqa: PLC0415

    marks.after(Scheduler, "_spec", "its fields are checked")
    marks.before(loop.Loop, "ask", "its function is known, it is composed")
    marks.before(loop.Loop, "report", "the worker has had it, called it and answered")
    marks.before(loop.Loop, "_turn", "the loop's turn begins")
    marks.after(loop, "decide", "it is decided")
    marks.before(writer.Writer, "commit", "writing begins")
    marks.after(writer, "write", "the rows are written")
    marks.after(writer.Writer, "commit", "they are on the disk")
    marks.after(SqliteStore, "commit", "the loop knows")
    marks.after(Effects, "carry_out", "the cluster has it, and what follows is on its way")


async def run(count: int, marks: Marks) -> list[list[tuple[str, float]]]:
    """The moments of each call."""
    from mcp_scheduler import Scheduler  # noqa: PLC0415
    from mcp_scheduler.app import tune  # noqa: PLC0415

    tune()
    found: list[list[tuple[str, float]]] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        async with Scheduler.open(home, functions=[HERE / "calls.py"]) as scheduler:
            warm = [{"function": "calls.noop", "arguments": {"value": number}} for number in range(500)]
            await scheduler.gather(await scheduler.submit_many(warm))
            for number in range(count):
                marks.take()
                marks.set(START)
                handle = await scheduler.submit("calls.noop", value=number)
                marks.set("SUBMITTED: the caller has its id")
                assert await handle.result() == number
                marks.set("DONE: the caller has its result")
                found.append(marks.take())
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=300)
    chosen = parser.parse_args()
    marks = Marks()
    instrument(marks)
    trips = asyncio.run(run(chosen.count, marks))
    ways = [tuple(label for label, _ in trip) for trip in trips]
    usual = max(set(ways), key=ways.count)
    trips = [trip for trip, way in zip(trips, ways, strict=True) if way == usual]
    usual_way = f"{len(trips)} of {chosen.count} calls went the usual way"
    print(f"{usual_way}; {os.cpu_count()} CPUs, Python {sys.version.split()[0]}")
    print("\n   µs   from the start\n")
    for place, label in enumerate(usual):
        if not place:
            continue
        step = statistics.median(trip[place][1] - trip[place - 1][1] for trip in trips)
        since = statistics.median(trip[place][1] - trip[0][1] for trip in trips)
        print(f"{step * 1e6:5.0f}  {since * 1e6:7.0f}  {label}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
