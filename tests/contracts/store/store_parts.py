"""Tasks and changes in few words, and a store that can be opened again."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from mcp_scheduler.core.changes import Changes
from mcp_scheduler.core.events import Ended, NewTask, Outcome
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Attempt
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.core.task import Kind, Needs, Retry, Status, Task, Terms
from mcp_scheduler.ports import Boot, Store

TERMS = Terms(Kind.FUNCTION, "module.function", "env", "agent")
OTHER_TERMS = Terms(
    Kind.COMMAND,
    "train.py",
    "env-2",
    "person",
    needs=Needs((("cpus", 2000), ("memory", 1 << 33)), gpus=2, gpu_memory=1 << 30, device="a100"),
    retry=Retry(3, 0.5, 3.0, 10.0, 0.25, frozenset({Reason.LOST})),
    timeout=1.5,
    idle_timeout=0.5,
    idempotent=True,
)


class Place:
    """Where a store lives: what one opened there left behind, the next one finds."""

    def __init__(self, make: Callable[[], Store]) -> None:
        self._make = make
        self.opened: list[Store] = []

    async def open(self) -> tuple[Store, Boot]:
        """Without a close before, this is a start after a crash."""
        store = self._make()
        boot = await store.open()
        self.opened.append(store)
        return store, boot

    async def leave(self) -> None:
        for store in reversed(self.opened):
            await store.close()


_seqs = count(1)


def new(task: str, /, *, status: Status | None = None, payload: bytes = b"{}", **fields: Any) -> NewTask:
    """A task on its way in, submitted at 10.0; its id is its name, too."""
    fields = {"seq": next(_seqs), "terms": TERMS, "submitted_at": 10.0, "name": task, **fields}
    return NewTask(Task(id=task, status=status or Status(State.QUEUED, 10.0), **fields), payload)


def added(*tasks: NewTask) -> Changes:
    return Changes(added=list(tasks))


def started(name: str, number: int = 1, at: float = 20.0) -> Changes:
    attempt = Attempt(AttemptId(name, number), f"{name}.{number}", "local", at)
    return Changes(started=[attempt], statuses={name: Status(State.RUNNING, at, number)})


def ended(name: str, number: int = 1, at: float = 30.0, **outcome: Any) -> Changes:
    """The end of an attempt, and with it of the task: as failed if the outcome has a reason."""
    result = Outcome(**outcome)
    state = State.SUCCEEDED if result.reason is None else State.FAILED
    status = Status(state, at, number, reason=result.reason, error=result.error)
    return Changes(ended=[Ended(AttemptId(name, number), at, result)], statuses={name: status})


def moved(name: str, state: State, at: float, number: int = 0) -> Changes:
    return Changes(statuses={name: Status(state, at, number)})


async def finish(store: Store, name: str, at: float = 30.0, **outcome: Any) -> None:
    await store.commit(started(name, at=at - 1))
    await store.commit(ended(name, at=at, **outcome))


def look(task: Task) -> dict[str, Any]:
    """All of a task, to be compared: tasks themselves compare by identity."""
    return {field: getattr(task, field) for field in Task.__slots__}
