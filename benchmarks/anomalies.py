"""How soon planted troubles are found, and how many alarms are false.

    python benchmarks/anomalies.py [--seeds COUNT] [--functions COUNT]

Virtual time, the program's own forecasts and detectors, and a seed for everything. Functions of different lengths,
spreads and input sizes are called every two to ten seconds for 75 minutes; two in a hundred calls take three times as
long as they should, and up to five in a hundred fail. After an hour a third of the functions becomes 1.7 to 3 times as
slow, a third begins to fail every second time, and a third stays as it is. A node has loads of a day beside that: its
other programs begin to take 40 percent more after an hour, or stay as they are. An alarm is one alert that was not
there before; it is false if nothing was planted there. The goals: found within 3 minutes, at most 12 % of alarms false.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from heapq import heapify, heapreplace
from math import inf
from random import Random
from statistics import median, quantiles

from mcp_scheduler.forecast.anomalies import STANDS, Anomalies
from mcp_scheduler.forecast.book import Book

HEALTHY, SICK = 3600.0, 900.0
GOAL = 180.0
SAMPLE = 5.0


@dataclass
class Function:
    """`gap`: seconds between two calls; `spread`: of the logarithm; `fails`: share of calls."""

    name: str
    seconds: float
    spread: float
    gap: float
    fails: float
    trouble: str
    factor: float = 1.0

    def call(self, random: Random, now: float) -> tuple[int, float, bool]:
        """The size of the input, the seconds, whether it failed."""
        is_sick = now >= HEALTHY
        size = random.randrange(20, 30)
        seconds = self.seconds * 2.0 ** ((size - 20) / 4) * random.lognormvariate(0.0, self.spread)
        seconds *= (3.0 if random.random() < 0.02 else 1.0) * (self.factor if is_sick else 1.0)
        fails = 0.5 if is_sick and self.trouble == "errors" else self.fails
        return size, seconds, random.random() < fails


@dataclass
class Tally:
    """Of one kind of trouble: seconds until planted ones were found, and alarms."""

    planted: int = 0
    found: list[float] = field(default_factory=list[float])
    alarms: int = 0
    false: int = 0

    def line(self, kind: str) -> str:
        soon = sum(one <= GOAL for one in self.found)
        ninth = quantiles(self.found, n=10)[-1] if len(self.found) > 1 else inf
        return (
            f"{kind:<8} planted {self.planted:>4}   found within 3 min {100 * soon / max(1, self.planted):5.1f} %"
            f"   median {median(self.found or [inf]):5.0f} s   nine of ten {ninth:5.0f} s"
            f"   alarms {self.alarms:>4}   false {100 * self.false / max(1, self.alarms):4.1f} %"
        )


def functions(random: Random, count: int) -> list[Function]:
    made: list[Function] = []
    for number in range(count):
        trouble = ("slow", "errors", "")[number % 3]
        factor = random.uniform(1.7, 3.0) if trouble == "slow" else 1.0
        seconds, spread = random.uniform(0.1, 20.0), random.uniform(0.05, 0.5)
        gap, fails = random.uniform(2.0, 10.0), random.uniform(0.0, 0.05)
        made.append(Function(f"m.f{number}", seconds, spread, gap, fails, trouble, factor))
    return made


def run(seed: int, count: int, tallies: dict[str, Tally]) -> None:
    """One world of functions and one node."""
    random = Random(seed)
    watch, book = Anomalies(), Book()
    made = functions(random, count)
    for function in made:
        if function.trouble:
            tallies[function.trouble].planted += 1
    drifts = seed % 2 == 0
    tallies["drift"].planted += drifts
    standing: dict[tuple[str, ...], float] = {}
    planted = {(one.trouble, one.name) for one in made if one.trouble} | (
        {("drift", "node", "cpu")} if drifts else set()
    )
    load = random.uniform(5.0, 30.0)
    turns = [(random.uniform(0.0, one.gap), place) for place, one in enumerate(made)] + [(0.0, count)]
    heapify(turns)
    while turns[0][0] < HEALTHY + SICK:
        now, place = turns[0]
        if place == count:
            noise = random.gauss(0.0, 8.0) + (30.0 if random.random() < 0.05 else 0.0)
            watch.others("node", "cpu", max(0.0, load + noise + (40.0 if drifts and now >= HEALTHY else 0.0)), now)
            heapreplace(turns, (now + SAMPLE, place))
        else:
            function = made[place]
            size, seconds, bad = function.call(random, now)
            watch.ended(function.name, now, bad=bad)
            if not bad:
                expected = book.predict(function.name, "", size)
                if expected is not None:
                    watch.took(function.name, seconds, expected.median, expected.upper, now)
                book.learn(function.name, "", size, seconds)
            heapreplace(turns, (now + random.expovariate(1.0 / function.gap), place))
        _count(watch, standing, planted, now, tallies)


def _count(
    watch: Anomalies,
    standing: dict[tuple[str, ...], float],
    planted: set[tuple[str, ...]],
    now: float,
    tallies: dict[str, Tally],
) -> None:
    """The newest alert, if it has just been raised."""
    if not watch.found:
        return
    key = next(reversed(watch.found))
    if watch.found[key].at != now:
        return
    was = standing.get(key, -inf)
    standing[key] = now
    if now - was < STANDS:
        return  # it stood already
    tally = tallies[key[0]]
    tally.alarms += 1
    if key in planted and now >= HEALTHY:
        tally.found.append(now - HEALTHY)
    else:
        tally.false += 1


def campaign(seeds: int, count: int) -> dict[str, Tally]:
    tallies = {kind: Tally() for kind in ("slow", "errors", "drift")}
    for seed in range(seeds):
        run(seed, count, tallies)
    return tallies


def cost() -> float:
    """Microseconds that a call costs: one end and one time."""
    watch = Anomalies()
    started = time.process_time()
    for number in range(100_000):
        watch.ended("m.f", 0.0, bad=number % 50 == 0)
        watch.took("m.f", 1.0 + number % 7 / 10, 1.3, 1.7, 0.0)
    return (time.process_time() - started) * 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--functions", type=int, default=30)
    options = parser.parse_args()
    tallies = campaign(options.seeds, options.functions)
    for kind, tally in tallies.items():
        print(tally.line(kind))
    alarms, false = (sum(getattr(one, name) for one in tallies.values()) for name in ("alarms", "false"))
    planted, soon = (
        sum(one.planted for one in tallies.values()),
        sum(found <= GOAL for one in tallies.values() for found in one.found),
    )
    print(f"together found within 3 min {100 * soon / planted:.1f} %   false {100 * false / max(1, alarms):.1f} %")
    print(f"an end and a time cost {cost():.1f} µs")


if __name__ == "__main__":
    main()
