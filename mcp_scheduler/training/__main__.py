"""The child process: histories on standard input, what was found on standard output, both as one JSON object."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from typing import Any


def main() -> None:
    """Train what the installed packages allow."""
    asked: list[dict[str, Any]] = json.load(sys.stdin)["series"]
    found: list[dict[str, Any]] = []
    for one in asked:
        runs = [(int(size), float(value)) for size, value in one["runs"]]
        told: dict[str, Any] = {"key": one["key"]}
        if find_spec("river") is not None:
            from mcp_scheduler.training.drift import keep  # noqa: PLC0415 - optional

            told["keep"] = keep([value for _, value in runs])
        if find_spec("sklearn") is not None:
            from mcp_scheduler.training.models import best  # noqa: PLC0415 - optional

            told["model"] = best(runs)
        found.append(told)
    json.dump({"series": found}, sys.stdout)


if __name__ == "__main__":
    main()
