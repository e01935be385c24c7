"""The tables of the literature beside ours: `make published ARGS="--data DIR"`.

DIR has `lublin-1.swf.gz` (RLScheduler's repository, `lublin_256.swf`), `psplib-j30.tar.gz` (the 480 `.rcp` files and
`optimum.csv`) and `openb-default.tar.gz` (Alibaba's cluster-trace-gpu-v2023: GPU nodes and default pods). None of them
may be shipped with a program, so they are not here.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from campaigns.published import lublin, openb, psplib
from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.policies.catalogue import Policies


def main() -> int:
    """Print the report as Markdown, part by part."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the three files")
    parser.add_argument("--only", default="lublin,psplib,openb", help="some of lublin, psplib, openb")
    parser.add_argument("--policies", default="all", help="some of the policies")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of openb; minutes each")
    options = parser.parse_args()
    known = Policies()
    try:
        names = known.names if options.policies == "all" else options.policies.split(",")
        chosen = [known.find(name) for name in names]
        parts: dict[str, Callable[[], Iterator[str]]] = {
            "lublin": lambda: lublin.report(options.data, chosen),
            "psplib": lambda: psplib.report(options.data, chosen),
            "openb": lambda: openb.report(options.data, chosen, options.seeds),
        }
        for part in options.only.split(","):
            if part not in parts:
                parser.error(f"there is no experiment '{part}'")
            started = time.monotonic()
            for text in parts[part]():
                print(text, flush=True)
            print(f"\n({time.monotonic() - started:.0f} s)", flush=True)
    except InvalidRequest as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
