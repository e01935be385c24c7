"""What must happen after a shim died without a word: no process left, a record for what had begun, no files left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from mcp_scheduler.executors.local import ending, ends, records, spare, tree
from mcp_scheduler.executors.local.cgroup import Leaf
from mcp_scheduler.executors.local.folders import Berth, Folders
from mcp_scheduler.executors.local.held import COMMAND, Identity
from mcp_scheduler.sdk.now import Now

PAUSE = 0.02  # seconds between two rounds of killing
DISK_PAUSE = 1.0  # seconds until a disk that was full is tried again
HINT = "Its supervisor was killed, so nobody can say how far the call came."


def bury(berth: Berth, attempts: Path, cookie: str) -> dict[str, Any]:
    """Returns when the worker's tree is gone and everything about it is on disk; as a shim's last word.

    Blocks for as long as a process cannot be killed: run it in a thread. Calls that had begun and left no record end
    as lost; the others have no trace afterwards. `certain` is false where the now file could not be read: then calls
    without a trace may have begun. Errors: OSError when the records cannot be written; nothing is removed then, and
    it can be done again.
    """
    while cookie and tree.strike_carriers([cookie]):
        time.sleep(PAUSE)
    certain = _write_records(berth, attempts)
    berth.remove()
    return {"signal": 9, "text": f"The worker was killed. {HINT}", "certain": certain}


async def bury_at_last(berth: Berth, attempts: Path, cookie: str) -> dict[str, Any]:
    """As `bury`, in a thread, and again and again while the disk refuses."""
    while True:
        try:
            return await asyncio.to_thread(bury, berth, attempts, cookie)
        except OSError as error:
            print(f"{berth.worker} cannot be buried yet: {error}", file=sys.stderr)  # noqa: T201 (the engine's log)
            await asyncio.sleep(DISK_PAUSE)


def _write_records(berth: Berth, attempts: Path) -> bool:
    try:
        fd = os.open(berth.now, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True  # removed by a shim that had done all this and was killed on its last step
    try:
        now = Now(fd)
    except ValueError:  # of another version, or cut off
        return False
    finally:
        os.close(fd)
    running, outcomes = now.running(), now.outcomes()
    for attempt in now.begun():
        if attempt in outcomes:
            records.write(attempts, attempt, json.loads(outcomes[attempt]))
            continue
        told = f"The worker was killed while it ran this call. {HINT}" if running and running.attempt == attempt else ""
        records.write(attempts, attempt, ending.lost(told))
    now.close()
    return True


def bury_command(berth: Berth, folders: Folders) -> None:
    """As `bury`, for a shim of commands: a command that had begun and left no record ends as lost."""
    who = Identity.read(berth)
    leaf = Leaf(who.leaf)
    leaf.kill()
    while leaf.is_populated() or (who.cookie and tree.strike_carriers([who.cookie])):
        leaf.kill()
        time.sleep(PAUSE)
    leaf.remove()
    with contextlib.suppress(OSError):  # it had none
        spare.place(folders.tasks, berth.worker).rmdir()
    if who.attempt and who.attempt not in ends.records(ends.files(folders.ends, berth.worker)):
        records.write(folders.attempts, who.attempt, ending.lost(f"The command was killed while it ran. {HINT}"))
    berth.remove()


async def bury_command_at_last(berth: Berth, folders: Folders) -> None:
    """As `bury_command`, in a thread, and again and again while the disk refuses."""
    while True:
        try:
            return await asyncio.to_thread(bury_command, berth, folders)
        except OSError as error:
            print(f"{berth.worker} cannot be buried yet: {error}", file=sys.stderr)  # noqa: T201 (the engine's log)
            await asyncio.sleep(DISK_PAUSE)


def bury_by_kind(berth: Berth, folders: Folders) -> bool:
    """Bury whoever it was, at the start of an engine; whether its traces can be believed."""
    who = Identity.read(berth)
    if who.kind == COMMAND:
        bury_command(berth, folders)
        return True
    return bury(berth, folders.attempts, who.cookie)["certain"]
