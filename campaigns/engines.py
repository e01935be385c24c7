"""Starts engines quickly: `python -m campaigns.engines HOME` has loaded everything before, and forks one for each line.

For campaigns that need hundreds of engines, each on a home of its own: the line names the home. The pid is answered,
and when that engine has ended, `ended <pid> <exit code>`.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import traceback

import mcp_scheduler.app as app  # noqa: PLR0402 (loaded before the first fork: that is what this program is for)
from mcp_scheduler.home import EngineLock, Home
from mcp_scheduler.runtime import upkeep
from mcp_scheduler.server.sdk import load_sdk

LOADED = ("aiosqlite", "anyio._backends._asyncio", "anyio.streams.tls")  # what an engine loads as it runs, too
PRUNING = 0.3  # seconds between two prunings, instead of a minute


def main() -> None:
    """Until the input ends."""
    load_sdk()
    for module in LOADED:
        importlib.import_module(module)
    upkeep._EVERY = PRUNING  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    gc.freeze()  # a collection in an engine would copy the pages of all that was loaded here
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os._exit(_engine(line.strip()))
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print("ended", pid, os.waitstatus_to_exitcode(status), flush=True)


def _engine(path: str) -> int:
    """As the engine's program does it."""
    home = Home(path)
    os.chdir("/")
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    code = 1
    try:
        home.prepare()
        log = home.open_log()
        os.dup2(log, 1)
        os.dup2(log, 2)
        lock = EngineLock.take(home, wait=1.0)
        if lock is not None:
            code = app.main_engine(home, lock)
    except BaseException:  # noqa: BLE001 (as the interpreter would: told in the log, then the end)
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    main()
