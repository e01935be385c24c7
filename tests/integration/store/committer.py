"""A process that commits until it is killed, and says after each commit how far it is.

    python committer.py FILE FIRST

Each commit is a task with payload, tag, group, remembered request and attempt, or the end of the one before: all of it
must be there or nothing.
"""

from __future__ import annotations

import asyncio
import sys
from itertools import count

from mcp_scheduler.core.changes import Changes, Remembered
from mcp_scheduler.core.events import Ended, Group, NewTask, Origin, Outcome
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Attempt
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Kind, Status, Task, Terms
from mcp_scheduler.store.sqlite import SqliteStore

TERMS = Terms(Kind.FUNCTION, "module.function", "env", "agent")


def step(seq: int) -> Changes:
    name, group = f"t{seq}", f"g{seq}"
    task = Task(name, seq, TERMS, 1.0, Status(State.RUNNING, 1.0, 1), name=name, group=group, tags=(f"tag{seq}",))
    changes = Changes(
        groups=[Group(group, "", "map", "agent", 1, 1.0)],
        added=[NewTask(task, b"x" * (seq % 5000))],
        started=[Attempt(AttemptId(name, 1), f"{name}.1", "local", 1.0)],
        remembered=[Remembered(Origin("door", str(seq)), "submit", (name,))],
    )
    if seq > 1:
        before = f"t{seq - 1}"
        changes.ended.append(Ended(AttemptId(before, 1), 2.0, Outcome(result=b"1")))
        changes.statuses[before] = Status(State.SUCCEEDED, 2.0, 1)
    return changes


async def main(path: str, first: int) -> None:
    store = SqliteStore(path)
    await store.open()
    for seq in count(first):
        await store.commit(step(seq))
        sys.stdout.write(f"{seq}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
