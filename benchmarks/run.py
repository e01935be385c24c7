"""`make bench`: ours beside its peers, interleaved, in one run. Prints medians, and ratios to ours.

    python benchmarks/run.py [--count 10000] [--rounds 5] [--peers ours,bare,pool,huey,dask] [--policy fifo,edf]

With `--policy` (names, or `all`) it is ours beside itself, once under each policy: `ours` alone is the one by default.
What this process takes of the processor for each call is told beside the rate, which depends on what else runs.

Absolute figures belong to this machine and this hour; the ratios carry over.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
SMALLER = {"dask": 5, "huey": 5}  # these get a fifth of the calls: their rate does not depend on it
COLUMNS = {
    "per_second": ("calls/s", "{:,.0f}"),
    "cpu_us": ("its own µs a call", "{:,.0f}"),
    "submit_p50_ms": ("submit p50 ms", "{:.3f}"),
    "submit_p99_ms": ("p99", "{:.2f}"),
    "round_trip_p50_ms": ("round trip p50 ms", "{:.2f}"),
    "round_trip_p99_ms": ("p99", "{:.2f}"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", default="ours,bare,pool,huey,dask")
    parser.add_argument(
        "--policy", default="", help="ours under each of these, and under the default, instead of peers"
    )
    chosen = parser.parse_args()
    peers = (
        ["ours", *(f"ours:{name}" for name in policies(chosen.policy))] if chosen.policy else chosen.peers.split(",")
    )
    seen: dict[str, list[dict[str, float]]] = defaultdict(list)
    for number in range(chosen.rounds):
        for peer in peers:
            figures = measure(peer, chosen.count // SMALLER.get(peer, 1))
            if figures is None:
                continue
            seen[peer].append(figures)
            print(f"round {number + 1} {peer}: {figures['per_second']:,.0f}/s", file=sys.stderr)
    print(f"\n{os.cpu_count()} CPUs, Python {platform.python_version()}, {platform.system()} {platform.release()}; "
          f"medians of {chosen.rounds} interleaved rounds, {chosen.count:,} no-op calls, 2 workers\n")  # fmt: skip
    print_table({peer: medians(rounds) for peer, rounds in seen.items()})
    return 0


def policies(names: str) -> list[str]:
    """The policies that are asked for by name, or all that come with the program."""
    from mcp_scheduler.policies.catalogue import BUILT_IN  # noqa: PLC0415 - peers are run without ours as well

    return list(BUILT_IN) if names == "all" else names.split(",")


def measure(peer: str, count: int) -> dict[str, float] | None:
    """One round of one peer, in a process of its own; None, said aloud, where it cannot be run."""
    command = [sys.executable, str(HERE / "peers.py"), peer, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        print(f"{peer} could not be run: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in rounds) for name in COLUMNS}


def print_table(rows: dict[str, dict[str, float]]) -> None:
    print("| | " + " | ".join(title for title, _ in COLUMNS.values()) + " | calls/s, ours = 1 |")
    print("|---|" + "---|" * (len(COLUMNS) + 1))
    base = rows.get("ours", {}).get("per_second", 0.0)
    for peer, row in rows.items():
        cells = ["-" if math.isnan(row[name]) else form.format(row[name]) for name, (_, form) in COLUMNS.items()]
        ratio = f"{row['per_second'] / base:.2f}" if base else "-"
        print(f"| {peer} | " + " | ".join(cells) + f" | {ratio} |")


if __name__ == "__main__":
    sys.exit(main())
