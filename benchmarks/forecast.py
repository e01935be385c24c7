"""What forecasts cost and how true they are.

    python benchmarks/forecast.py [--real COUNT] [TRACE.swf[.gz] …]

Microseconds of a prediction and of a lesson (the processor's time), what the learning adds to a task that does nothing,
and for each trace in the Standard Workload Format: run times in the order of arrival, every one predicted before it is
learnt. With `--real` so many calls of three functions over inputs of many sizes are run by a real engine, whose own
count is shown then. The goals: a prediction ≤ 50 µs, a task that does nothing < 3 µs more, 88 to 92 % within the bound.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from mcp_scheduler.core.learning import Sampler
from mcp_scheduler.forecast.book import Book
from mcp_scheduler.service.sizes import half_powers

COUNT = 5_000


def microseconds(work: Callable[[int], object], count: int = COUNT) -> float:
    started = time.process_time()
    for number in range(count):
        work(number)
    return (time.process_time() - started) / count * 1e6


def full_book(random: Random) -> Book:
    """Every key has as many runs as it can hold, and the devices are of three classes."""
    book = Book()
    for number in range(30_000):
        size = random.randrange(10, 60)
        seconds = 2.0 ** (size * 0.3) * random.lognormvariate(0, 0.5)
        book.learn(f"module.f{number % 10}", ("", "t4", "h100")[number % 3], size, seconds)
    return book


def costs() -> None:
    random = Random(1)
    book = full_book(random)
    chains = [(f"module.f{random.randrange(10)}", "h100", random.randrange(10, 60)) for _ in range(COUNT)]

    def anew(number: int) -> None:
        name, device, size = chains[number]
        book.touched((name,))  # nothing is answered from memory
        book.predict(name, device, size)

    def again(number: int) -> None:
        book.predict("module.f1", "h100", 20 + number % 8)

    def learn(number: int) -> None:
        name, device, size = chains[number]
        book.learn(name, device, size, 1.0 + number)

    sampler = Sampler()

    def no_op(number: int) -> None:
        if sampler.takes("module.f1", 0.0001):
            book.learn("module.f1", "", 10, 0.0001)
            book.learn("module.f2", "", 10, 1e8 + number)  # memory is learnt beside time

    for name, work in (
        ("predict", anew),
        ("predict again", again),
        ("learn", learn),
        ("a no-op task's share", no_op),
    ):
        print(f"{name:24}{microseconds(work):8.2f} µs")


def runs(path: str) -> Iterator[tuple[str, int, float]]:
    """(whose, processors, seconds) of each job. Where the trace tells the program or the user, that is the name."""
    opened = gzip.open(path, "rt") if path.endswith(".gz") else open(path)  # noqa: SIM115 - closed below
    with opened as lines:
        for line in lines:
            fields = line.split()
            if not fields or fields[0].startswith(";"):
                continue
            seconds, processors, user, program = float(fields[3]), int(fields[4]), fields[11], fields[13]
            if seconds > 0:
                yield f"user {user} program {program}", processors, seconds


def truth(path: str) -> None:
    book = Book()
    for name, processors, seconds in runs(path):
        book.learn(name, "", half_powers(processors), seconds)
    everything = book.series(())
    assert everything is not None, f"{path} has no jobs that ran."
    score = everything.score
    print(
        f"{path.rpartition('/')[2]}: {score.predictions:,} predictions, {score.coverage:.1%} within the 90 % bound; "
        f"typically off by a factor of {score.typical_factor:.2f}, bound {score.typical_width:.1f} times the median"
    )


async def real(count: int) -> None:
    """Calls one after the other and side by side; what the engine says of its forecasts afterwards."""
    from mcp_scheduler import Scheduler  # noqa: PLC0415 - an engine is needed here alone

    random = Random(1)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        files: list[str] = []
        for number in range(12):
            path = Path(folder) / f"input{number}.json"
            path.write_text(json.dumps([random.random() for _ in range(2 ** (number // 2 + 8))]))
            files.append(str(path))
        async with Scheduler.open(folder, functions=[Path(__file__).with_name("sized_calls.py")]) as scheduler:
            for done in range(0, count, 200):
                calls = [_call(random, files) for _ in range(min(200, count - done))]
                await scheduler.gather(await scheduler.submit_many(calls), timeout=120)
            page = await scheduler.forecasts(limit=10)
    for one in [*page.forecasts, *page.overall]:
        if one.coverage is not None:
            print(
                f"{one.name} ({one.quantity}): {one.predictions:,} predictions, {one.coverage:.1%} within the bound, "
                f"off by ×{one.off_by:.2f}, bound ×{one.bound_is:.2f}"
            )


def _call(random: Random, files: list[str]) -> dict[str, Any]:
    match random.randrange(3):
        case 0:
            return {"function": "sized_calls.digest", "arguments": {"path": random.choice(files)}}
        case 1:
            values = [random.random() for _ in range(2 ** random.randrange(6, 11))]
            return {"function": "sized_calls.sort", "arguments": {"values": values}}
        case _:
            times = round(random.lognormvariate(3.0, 0.7))
            return {"function": "sized_calls.encode", "arguments": {"path": random.choice(files), "times": times}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("traces", nargs="*", help="files in the Standard Workload Format")
    parser.add_argument("--real", type=int, default=0, metavar="COUNT", help="run so many real calls as well")
    chosen = parser.parse_args()
    costs()
    for path in chosen.traces:
        truth(path)
    if chosen.real:
        asyncio.run(real(chosen.real))


if __name__ == "__main__":
    main()
