"""The child process: a problem on standard input, the schedules that were found on standard output, both as JSON."""

from __future__ import annotations

import json
import sys
from time import monotonic

from mcp_scheduler.searching.fronts import look
from mcp_scheduler.searching.problem import Problem
from mcp_scheduler.searching.search import search


def main() -> None:
    """Look until the time that is given with the problem is over."""
    told = json.load(sys.stdin)
    until = monotonic() + told["for"]
    if "objectives" in told:
        json.dump(look(told, until), sys.stdout)
        return
    found = search(Problem.read(told["problem"]), told["given"], lambda: monotonic() < until)
    json.dump({"end": found.end, "starts": found.starts}, sys.stdout)


if __name__ == "__main__":
    main()
