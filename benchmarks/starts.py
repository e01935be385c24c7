"""What a client waits for: the engine's start, the first answer through a relay, and what an idle engine costs.

`python benchmarks/starts.py [--rounds 5] [--seconds 10]`, or `make bench-starts`. Times are from the start of the
process (exec) in milliseconds. "Ready" is the moment in which the engine listens; "cold" is without compiled modules,
as right after an installation.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

READY = "engine ready"
INFO = {"name": "bench", "version": "1"}
FIRST_WORDS: tuple[dict[str, Any], ...] = (
    {"id": 1, "method": "initialize",
     "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": INFO}},
    {"method": "notifications/initialized"},
    {"id": 2, "method": "tools/call", "params": {"name": "get_node_load", "arguments": {}}},
)  # fmt: skip


def python(*words: str, **options: Any) -> subprocess.Popen[str]:
    """As a user has it: with settings of its own, and with modules that Python may keep compiled."""
    kept = (name for name in os.environ if not name.startswith("MCP_SCHEDULER_") and name != "PYTHONDONTWRITEBYTECODE")
    environ = {name: os.environ[name] for name in kept}
    return subprocess.Popen([sys.executable, *words], text=True, env=environ, **options)


@contextmanager
def engine(home: Path, *options: str) -> Generator[tuple[float, subprocess.Popen[str]]]:
    """A running engine, and the seconds it took to be ready."""
    began = time.perf_counter()
    process = python(*options, "-I", "-m", "mcp_scheduler", "engine", "--home", str(home), stderr=subprocess.PIPE)
    assert process.stderr is not None
    try:
        said: list[str] = []
        for line in process.stderr:
            said.append(line)
            if READY in line:
                break
        else:
            raise SystemExit(f"The engine did not start: {''.join(said)}")
        yield time.perf_counter() - began, process
    finally:
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        process.wait()


def starts(home: Path, rounds: int, *options: str) -> list[float]:
    taken: list[float] = []
    for _ in range(rounds):
        with engine(home, *options) as (seconds, _):
            taken.append(seconds)
    return taken


def first_answer(home: Path) -> float:
    """Seconds from the start of a relay to the answer of the first tool call."""
    began = time.perf_counter()
    relay = python("-m", "mcp_scheduler", "--home", str(home), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert relay.stdin is not None
    assert relay.stdout is not None
    for message in FIRST_WORDS:
        relay.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    relay.stdin.flush()
    for line in relay.stdout:
        if json.loads(line).get("id") == 2:
            break
    else:
        raise SystemExit("The relay gave no answer.")
    taken = time.perf_counter() - began
    relay.stdin.close()
    relay.stdout.read()
    relay.wait()
    return taken


def idle_share(pid: int, seconds: float) -> float:
    """The share of one CPU that a process uses while nobody asks it for anything."""
    before = cpu_seconds(pid)
    time.sleep(seconds)
    return (cpu_seconds(pid) - before) / seconds


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def tell(what: str, taken: Sequence[float]) -> None:
    median, longest = statistics.median(taken) * 1000, max(taken) * 1000
    print(f"{what:<44}{median:8.0f} ms median{longest:8.0f} ms longest of {len(taken)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the idle engine is watched")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="starts-") as folder:
        base = Path(folder)
        cold = [
            starts(base / f"cold-home{number}", 1, "-X", f"pycache_prefix={base / f'cold{number}'}")[0]
            for number in range(min(2, chosen.rounds))
        ]
        tell("engine ready, cold, empty home", cold)
        tell("engine ready, empty home", [starts(base / f"home{n}", 1)[0] for n in range(chosen.rounds)])
        used = base / "home0"
        tell("engine ready, used home", starts(used, chosen.rounds))
        with engine(used) as (_, process):
            first_answer(used)  # returns when the engine has loaded what it loads beside its first client
            tell("first tool answer, engine runs", [first_answer(used) for _ in range(4 * chosen.rounds)])
            share = idle_share(process.pid, chosen.seconds)
            print(f"{'idle engine':<44}{share:8.2%} of a CPU over {chosen.seconds:.0f} s")


if __name__ == "__main__":
    main()
