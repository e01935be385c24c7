"""The child process: a problem on standard input, the schedules that were found on standard output, both as JSON."""

from __future__ import annotations

import json
import sys
from time import monotonic

from mcp_scheduler.searching.fronts import look, shortest


def main() -> None:
    """Look until the time that is given with the problem is over."""
    told = json.load(sys.stdin)
    until = monotonic() + told["for"]
    json.dump((look if "objectives" in told else shortest)(told, until), sys.stdout)


if __name__ == "__main__":
    main()
