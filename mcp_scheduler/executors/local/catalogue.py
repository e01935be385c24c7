"""What the environments offer: asked of a worker of each, kept for a second, and asked again while it is still good."""

from __future__ import annotations

import asyncio
import time

from mcp_scheduler.errors import ExecutorUnavailable
from mcp_scheduler.executors.local.links import Message
from mcp_scheduler.executors.local.pool import Pool
from mcp_scheduler.executors.local.worker import Listener, Worker
from mcp_scheduler.ports import Catalogue, FunctionEntry

FRESH = 1.0  # seconds that an answer serves further questions: clients ask in bursts
PATIENCE = 0.1  # seconds for a busy worker to answer, beside its call; then another one is started


class Catalogues:
    """One question at a time per environment; whoever asks meanwhile shares the answer."""

    def __init__(self, pool: Pool, listener: Listener) -> None:
        self._pool, self._listener = pool, listener
        self._known: dict[str, tuple[float, Catalogue]] = {}
        self._waiting: dict[str, asyncio.Future[Catalogue]] = {}
        self._asked: dict[Worker, bool] = {}  # → started for the question

    async def get(self, environment: str) -> Catalogue:
        """Errors: `ExecutorUnavailable` for an environment that nobody made known, and while no process can be started.
        That its sources or its interpreter are broken is no error but a `problem` of the catalogue."""
        if environment not in self._pool.environments:
            raise ExecutorUnavailable(f"The environment {environment} is not known.")
        at, known = self._known.get(environment, (0.0, None))
        age = time.monotonic() - at
        is_fresh = known is not None and age < FRESH
        if environment not in self._waiting and not (is_fresh and age < FRESH / 2):
            self._waiting[environment] = asyncio.get_running_loop().create_future()
            self._ask(environment)
        if known is not None and is_fresh:
            return known  # where many ask, the next answer comes before this one is old: nobody waits for it
        return await asyncio.shield(self._waiting[environment])

    def told(self, worker: Worker, told: Message) -> None:
        """A worker has described its environment."""
        functions = [
            FunctionEntry(
                entry["name"],
                worker.environment,
                entry["summary"],
                entry["parameters"],
                entry["options"],
                entry["fingerprint"],
            )
            for entry in told["functions"]
        ]
        problems = tuple(told["problems"])
        self._answer(Catalogue(worker.environment, tuple(functions), problems))
        started = self._asked.pop(worker, False)
        if problems and not worker.window:
            self._pool.end(worker)  # what it could not load may be mended: the next question goes to a new one
        elif started and not worker.slot:
            self._pool.rest(worker)

    def lost(self, worker: Worker, failure: str) -> None:
        """A worker that was asked is gone, or about to go: ask another, unless this one could not even start."""
        if worker not in self._asked:
            return
        del self._asked[worker]
        if failure:
            self._answer(Catalogue(worker.environment, (), (failure,)))
        elif worker.environment in self._waiting:
            self._ask(worker.environment)

    def refused(self, worker: Worker, why: str) -> None:
        """No process could be started for this worker: a trouble of the machine, which says nothing about functions."""
        if self._asked.pop(worker, None) is None:
            return
        waiting = self._waiting.pop(worker.environment, None)
        if waiting is not None and not waiting.done():
            waiting.set_exception(ExecutorUnavailable(why, hint="Repeat the call in a moment."))
            waiting.exception()  # whoever asked may have left meanwhile

    def _ask(self, environment: str) -> None:
        """An idle worker, or a busy one: where work never ends, each question would have a process started."""
        if self._ask_idle(environment):
            return
        busy = self._pool.busy(environment)
        if busy is None:
            self._asked[self._pool.take(environment, self._listener)] = True
            return
        self._asked[busy] = False
        busy.describe()
        asyncio.get_running_loop().call_later(PATIENCE, self._ask_no_longer, busy)

    def _ask_idle(self, environment: str) -> bool:
        worker = self._pool.idle(environment)
        if worker is None:
            return False
        self._asked[worker] = False
        worker.describe()
        return True

    def _ask_no_longer(self, busy: Worker) -> None:
        """It says nothing: its call keeps it from it, or its code has changed, which it tells when the call ends."""
        environment = busy.environment
        if self._asked.pop(busy, None) is None or environment not in self._waiting:
            return
        if not self._ask_idle(environment):
            self._asked[self._pool.take(environment, self._listener)] = True

    def _answer(self, catalogue: Catalogue) -> None:
        _, known = self._known.get(catalogue.environment, (0.0, None))
        if known is not None and known == catalogue:
            catalogue = known  # what was made of it stays good
        self._known[catalogue.environment] = (time.monotonic(), catalogue)
        waiting = self._waiting.pop(catalogue.environment, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(catalogue)
