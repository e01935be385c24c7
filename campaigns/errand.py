"""A command that a campaign has run: `python errand.py TOKEN VALUE SECONDS [CODE]`. It bears witness of its attempts.

Copied into the folder of a campaign, and run there by the scheduler: standard library only.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from witness import witnessed


def main() -> None:
    """Twice the value is the result, CODE (else 0) the exit code."""
    token, value, seconds = sys.argv[1:4]
    task, _, attempt = os.environ["MCP_SCHEDULER_ATTEMPT"].rpartition(".")
    with witnessed(token, task, int(attempt)):
        print("under way", flush=True)
        time.sleep(float(seconds))
        Path(os.environ["MCP_SCHEDULER_RESULT"]).write_text(json.dumps(2 * int(value)))
        print("done", flush=True)
    sys.exit(int(sys.argv[4]) if len(sys.argv) > 4 else 0)


if __name__ == "__main__":
    main()
