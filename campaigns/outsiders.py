"""What others' fuzzers say: `python -m campaigns.outsiders .venv-outsiders/bin`.

mcp-fuzzer and mcp-runtime-check are there. Both speak MCP over stdio to a relay of their own. Counted are crashes,
time-outs and broken transports; that a call with odd arguments is answered by a result is for people to judge.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path

from campaigns.fuzz import SETTINGS
from campaigns.house import House, opened
from campaigns.judge import Verdict, conclude, defects

LIMIT = 900.0  # seconds that one of them may take


def outsiders(house: House, programs: Path, runs: int) -> Verdict:
    """Let both loose on one home."""
    relay = house.relay_command()
    orders = {
        "mcp-runtime-check": [
            programs / "mcp-fuzz", "--include-destructive", "--timeout", "60",
            *(word for name in ("PYTHONPATH", "TMPDIR") for word in ("--env", f"{name}={house.environment[name]}")),
            "--", *relay,
        ],
        "mcp-fuzzer": [
            programs / "mcp-fuzzer", "--mode", "tools", "--phase", "both", "--runs", str(runs), "--seed", "1",
            "--protocol", "stdio", "--endpoint", shlex.join(relay), "--log-level", "ERROR",
            "--output-dir", house.folder / "reports",
        ],
    }  # fmt: skip
    verdict = Verdict()
    for name, order in orders.items():
        told = subprocess.run(
            [str(word) for word in order],
            capture_output=True, text=True, env=house.environment, cwd=house.folder, timeout=LIMIT, check=False,
        ).stdout  # fmt: skip
        counts = [(int(count), what) for count, what in _counts(told)]
        verdict.figures[name] = ", ".join(f"{count} {what}" for count, what in counts) or "said nothing that is known"
        if not counts or any(count for count, what in counts if what not in ("bad-input calls", "fuzzing runs")):
            verdict.violations.append(f"{name}: {told[-1500:]}")
    house.stop(force=True)
    verdict.violations += [f"in the log: {text}" for text in defects(house.home)]
    return verdict


def _counts(told: str) -> list[tuple[str, str]]:
    found = re.search(r"(\d+) crash\(es\), (\d+) timeout\(s\) across (\d+) bad-input calls", told)
    if found:
        return list(zip(found.groups(), ("crashes", "time-outs", "bad-input calls"), strict=True))
    names = ("Crashes", "Exceptions", "Transport/Protocol Anomalies", "Fuzzing Runs")
    return [(found[1], name.lower()) for name in names if (found := re.search(rf"Total {name}: (\d+)", told))]


def main() -> int:
    """Exit code 0 when neither has found a crash, a time-out or a broken transport."""
    parser = argparse.ArgumentParser("python -m campaigns.outsiders", description=__doc__)
    parser.add_argument("programs", type=Path, help="folder with the programs of both packages")
    parser.add_argument("--runs", type=int, default=100, help="calls of mcp-fuzzer for each tool and phase")
    given = parser.parse_args()
    with opened(SETTINGS) as house:
        verdict = outsiders(house, given.programs.resolve(), given.runs)
    return conclude(verdict)


if __name__ == "__main__":
    sys.exit(main())
