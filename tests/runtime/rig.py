"""The real loop over a store in memory and an executor that follows a script. Time is moved by the test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Self

from mcp_scheduler.core.changes import Changes
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.events import NewTask, Outcome, Submitted
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import LOCAL, Node
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Status, Task, Terms
from mcp_scheduler.errors import SchedulerError
from mcp_scheduler.executors.scripted import ScriptedExecutor
from mcp_scheduler.policies.order import PRIORITY
from mcp_scheduler.ports import Printed, Pruned
from mcp_scheduler.runtime.effects import Effects
from mcp_scheduler.runtime.loop import Loop
from mcp_scheduler.runtime.payloads import Payloads
from mcp_scheduler.runtime.watch import Watch
from mcp_scheduler.store.memory import MemoryStore
from tests.core.builders import needs, terms

LIMIT = 5.0  # seconds; nothing here takes longer than a moment


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time


class Disk(MemoryStore):
    """A store that can be slow, and can refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.commits: list[Changes] = []
        self.refusals: list[SchedulerError] = []
        self.spinning = asyncio.Event()  # a commit has begun
        self.free = asyncio.Event()  # cleared: commits wait
        self.free.set()
        self.reads = self.checkpoints = 0
        self.read_refusals: list[SchedulerError] = []
        self.named_refusals: list[SchedulerError] = []

    async def checkpoint(self) -> None:
        self.checkpoints += 1
        await super().checkpoint()

    async def commit(self, changes: Changes) -> None:
        self.spinning.set()
        await self.free.wait()
        if self.refusals:
            raise self.refusals.pop(0)
        await super().commit(changes)
        self.commits.append(changes)

    async def payloads(self, ids: Any) -> dict[str, bytes]:
        self.reads += 1
        if self.read_refusals:
            raise self.read_refusals.pop(0)
        return await super().payloads(ids)

    async def named_results(self, files: Any) -> set[str]:
        if self.named_refusals:
            raise self.named_refusals.pop(0)
        return await super().named_results(files)


class Files:
    """`ports.Outputs` that knows result files by name."""

    def __init__(self) -> None:
        self.results: dict[str, bytes] = {}

    async def read(self, attempt: AttemptId, stream: str, *, offset: int, limit: int) -> Printed:
        raise AssertionError("Nobody reads outputs here.")

    async def result(self, file: str) -> bytes:
        return self.results[file]

    async def files(self) -> list[str]:
        return list(self.results)

    def discard(self, file: str) -> None:
        del self.results[file]

    async def remove(self, pruned: Pruned) -> list[str]:
        raise AssertionError("Nobody prunes here.")


class Rig:
    """`async with Rig() as rig`: an engine without doors."""

    def __init__(
        self,
        cpus: float = 2,
        script: Callable[[AttemptId, bytes], Outcome | None] | None = None,
        *,
        batch_seconds: float = 0.0,
    ) -> None:
        self.clock, self.disk, self.files = Clock(), Disk(), Files()
        self.cluster = Cluster(PRIORITY)
        self.executor = ScriptedExecutor(self.clock, script) if script else ScriptedExecutor(self.clock)
        self.payloads = Payloads(self.disk, self.files)
        self.effects = Effects(
            self.cluster,
            self.executor,
            self.payloads,
            self.clock,
            lambda event: self.loop.report(event),  # noqa: PLW0108 - the loop is made of the effects
        )
        self.watch = Watch()
        self.loop = Loop(self.cluster, self.disk, self.effects, self.clock, self.watch, batch_seconds=batch_seconds)
        self._cpus = cpus
        self._seq = 0

    async def __aenter__(self) -> Self:
        boot = await self.disk.open()
        self.cluster.load(boot.tasks, boot.attempts)
        self.cluster.set_node(Node(LOCAL, needs(self._cpus).amounts))
        await self.executor.start(self.loop.report)
        self.cluster.rebuild()
        self._running = asyncio.create_task(self.loop.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.disk.free.set()
        self.loop.stop()
        await asyncio.wait_for(self._running, LIMIT)

    def new(self, name: str, asked: Terms | None = None, *, after: str = "", **arguments: Any) -> NewTask:
        self._seq += 1
        now = self.clock.now()
        task = Task(name, self._seq, asked or terms(), now, Status(State.PENDING, now), after=tuple(after.split()))
        payload = json.dumps({"function": "module.work", "arguments": arguments}).encode()
        return NewTask(task, payload)

    async def submit(self, name: str, asked: Terms | None = None, *, after: str = "", **arguments: Any) -> None:
        await asyncio.wait_for(self.loop.ask(Submitted([self.new(name, asked, after=after, **arguments)])), LIMIT)

    def state(self, name: str) -> State:
        return self.cluster.tasks[name].status.state

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the loop run until this is so."""
        async with asyncio.timeout(LIMIT):
            while not condition():  # noqa: ASYNC110 - any state of the engine may be waited for
                await asyncio.sleep(0)

    async def ended(self, name: str) -> None:
        await self.until(lambda: name in self.cluster.tasks and self.cluster.tasks[name].status.is_final)

    def arguments(self, name: str, number: int = 1) -> Any:
        """What the executor was handed."""
        return json.loads(self.executor.launched[AttemptId(name, number)])["arguments"]
