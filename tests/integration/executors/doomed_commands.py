"""An engine in a process of its own, to be killed: launches the commands of its command line and tells what it hears.

doomed_commands.py ROOT '[[["program", "argument", …], {options}], …]'
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from command_stage import CommandStage

from mcp_scheduler.core.events import Ended
from mcp_scheduler.executors.local.limits import Limits


async def main() -> None:
    stage = CommandStage(Path(sys.argv[1]), Limits(grace=0.5))
    await stage.open()
    for argv, options in json.loads(sys.argv[2]):
        stage.command(argv, **options)
    tell(json.dumps([attempt.id.task for attempt in stage.launches.values()]))
    while True:
        await stage.until(lambda: stage.events, limit=60)
        events, stage.events = stage.events, []
        for event in events:
            if isinstance(event, Ended):
                tell(event.attempt.task)


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if group := os.environ.get("TEST_CGROUP"):  # the engine's group, and so the zygote's and the shims'
    Path(group, "cgroup.procs").write_text(str(os.getpid()))
asyncio.run(main())
