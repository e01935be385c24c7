"""An engine in a process of its own, to be killed: launches the calls of its command line and tells what it hears.

doomed_engine.py ROOT '[["function", [{arguments}, …]], …]'
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "contracts"))

from executor_stage import LocalStage

from mcp_scheduler.core.events import Ended
from mcp_scheduler.executors.local.limits import Limits


async def main() -> None:
    stage = LocalStage(Path(sys.argv[1]), Limits(grace=0.5))
    await stage.open()
    for function, arguments in json.loads(sys.argv[2]):
        stage.calls(function, arguments)
    launched = [[attempt.id.task, attempt.slot] for attempt in stage.launches.values()]
    tell(json.dumps(launched))
    while True:
        await stage.until(lambda: stage.events, limit=60)
        events, stage.events = stage.events, []
        for event in events:
            if isinstance(event, Ended):
                tell(event.attempt.task)


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


asyncio.run(main())
