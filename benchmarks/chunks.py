"""How a map of small calls is cut, map after map, when the first guess was wrong.

    python benchmarks/chunks.py --items 2000 --maps 4

One call of half a second comes first (as the first call of a function does that loads something), then maps of calls of
1 ms with `chunk: auto`. Real processes in a home of their own; CPU time is that of the engine.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from mcp_scheduler import Scheduler, views

FIRST, EACH = 0.5, 0.001  # seconds
LIMIT = 120.0


async def measure(items: int, maps: int) -> None:
    functions = Path(__file__).with_name("calls.py")
    with tempfile.TemporaryDirectory(prefix="chunks-") as home:
        async with Scheduler.open(home, functions=[functions]) as scheduler:
            await (await scheduler.submit("calls.nap", seconds=FIRST)).result(LIMIT)
            print(f"{'map':>4} {'chunk':>6} {'tasks':>9} {'seconds':>8} {'engine CPU':>11}")
            for number in range(1, maps + 1):
                began, used = time.perf_counter(), time.process_time()
                mapped = await scheduler.map("calls.nap", [EACH] * items, argument="seconds", chunk="auto")
                await mapped.wait(LIMIT)
                took, used = time.perf_counter() - began, time.process_time() - used
                group = await scheduler.get(mapped.id)
                assert isinstance(group, views.GroupView)
                print(f"{number:>4} {group.chunk:>6} {group.size:>9} {took:>8.2f} {used:>11.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--maps", type=int, default=4)
    asked = parser.parse_args()
    asyncio.run(measure(asked.items, asked.maps))


if __name__ == "__main__":
    sys.exit(main())
