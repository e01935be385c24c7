"""The child process: a problem on standard input, the schedules that were found on standard output, both as JSON."""

from __future__ import annotations

import json
import sys

from mcp_scheduler.searching.fronts import look, shortest


def main() -> None:
    """Look until the monotonic clock, which is one for all processes, shows the time that is given with the problem:
    on a busy machine the start of this one is a part of it."""
    told = json.load(sys.stdin)
    json.dump((look if "objectives" in told else shortest)(told, told["until"]), sys.stdout)


if __name__ == "__main__":
    main()
