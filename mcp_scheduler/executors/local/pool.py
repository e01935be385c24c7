"""The workers of this host: started when they are needed, kept warm for a while, buried in order."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import mcp_scheduler
from mcp_scheduler.errors import ExecutorUnavailable
from mcp_scheduler.executors.local.folders import Berth, Folders
from mcp_scheduler.executors.local.limits import Limits
from mcp_scheduler.executors.local.worker import Listener, Worker
from mcp_scheduler.executors.local.zygote_link import ZygoteLink
from mcp_scheduler.ports import Environment

PACKAGE = Path(mcp_scheduler.__file__).resolve().parent
LAST_PATIENCE = 2.0  # seconds beyond the grace time that closing waits for idle workers to end
STARTS = 2  # a start is tried again when the zygote died under it


Visibility = Callable[[Sequence[str]], Mapping[str, str]]  # devices → the variables that show them and no others


def show_gpus(devices: Sequence[str]) -> Mapping[str, str]:
    """NVIDIA GPUs by UUID; none at all without devices."""
    return {"CUDA_VISIBLE_DEVICES": ",".join(devices), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


class Pool:
    """`failed` is called for a worker that could not even be asked for, with the reason."""

    def __init__(
        self, folders: Folders, limits: Limits, failed: Callable[[Worker, str], None], visibility: Visibility
    ) -> None:
        self.visibility = visibility
        self.environments: dict[str, Environment] = {}
        self.workers: set[Worker] = set()
        self.zygote = ZygoteLink(folders.run)
        self._folders, self._limits, self._failed = folders, limits, failed
        self._idle: dict[str, list[tuple[float, Worker]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._to_follow: set[asyncio.Task[None]] = set()
        self._clean_up: asyncio.TimerHandle | None = None

    def take(self, environment: str, listener: Listener) -> Worker:
        """A worker of this environment that has nothing to do: the one last used, else a new one."""
        idle = self._idle.get(environment, [])
        while idle:
            _, worker = idle.pop()
            if not worker.leaving:
                return worker
        return self._new(self.environments[environment], listener)

    def on_devices(
        self, environment: str, devices: tuple[str, ...], after: Worker | None, listener: Listener
    ) -> Worker:
        """A new worker that sees these devices. It starts when `after`, which had them, is gone with all it held."""
        worker = self._make(self.environments[environment], listener)
        worker.devices = devices
        if after is None:
            self.spawn(self._start(worker, self.environments[environment]))
        else:
            following = asyncio.ensure_future(self._follow(after, worker, self.environments[environment]))
            self._to_follow.add(following)
            following.add_done_callback(self._to_follow.discard)
        return worker

    async def _follow(self, after: Worker, worker: Worker, environment: Environment) -> None:
        await after.over.wait()
        self.spawn(self._start(worker, environment))

    def idle(self, environment: str) -> Worker | None:
        """One that has nothing to do, left where it is."""
        return next((worker for _, worker in self._idle.get(environment, []) if not worker.leaving), None)

    def busy(self, environment: str) -> Worker | None:
        """One that runs calls, and can answer beside them."""
        running = (worker for worker in self.workers if worker.environment == environment and worker.window)
        return next((one for one in running if one.ready and not (one.leaving or one.adopted or one.devices)), None)

    def rest(self, worker: Worker) -> None:
        """It has nothing to do any more: keep it warm, or end it."""
        idle = self._idle.setdefault(worker.environment, [])
        if worker.adopted:
            worker.end(self._limits.grace)
            return
        idle.append((time.monotonic(), worker))
        if len(idle) > self._limits.idle:
            idle.pop(0)[1].end(self._limits.grace)
        if self._clean_up is None:
            loop = asyncio.get_running_loop()
            self._clean_up = loop.call_later(self._limits.idle_seconds, self._end_the_idle)

    def end(self, worker: Worker) -> None:
        """It is of no use any more."""
        worker.end(self._limits.grace)

    def add(self, worker: Worker) -> None:
        self.workers.add(worker)

    def drop(self, worker: Worker) -> None:
        """It is gone."""
        self.workers.discard(worker)
        worker.over.set()
        idle = self._idle.get(worker.environment, [])
        idle[:] = [entry for entry in idle if entry[1] is not worker]

    def spawn(self, work: Awaitable[None]) -> None:
        """Run something beside the loop; `close` waits for it. What it raises is a defect and told as one."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            about = {"message": "The local executor failed.", "exception": task.exception(), "task": task}
            task.get_loop().call_exception_handler(about)

    async def close(self) -> None:
        """End the idle, leave the busy to the next engine, and let the zygote go."""
        if self._clean_up is not None:
            self._clean_up.cancel()
        for following in self._to_follow:
            following.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        ending: list[Worker] = []
        for worker in self.workers:
            if worker.window:
                worker.disconnect()
            else:
                worker.end(self._limits.grace)
                ending.append(worker)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.grace + LAST_PATIENCE):
                await asyncio.gather(*[worker.over.wait() for worker in ending])
        for worker in self.workers:  # those that cannot be ended: their shims go on trying
            worker.disconnect()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.zygote.close()

    def _end_the_idle(self) -> None:
        self._clean_up = None
        before = time.monotonic() - self._limits.idle_seconds
        youngest = 0.0
        for idle in self._idle.values():
            while idle and idle[0][0] <= before:
                idle.pop(0)[1].end(self._limits.grace)
            youngest = max([youngest, *(since for since, _ in idle)])
        if youngest:
            loop = asyncio.get_running_loop()
            self._clean_up = loop.call_later(youngest - before, self._end_the_idle)

    def _new(self, environment: Environment, listener: Listener) -> Worker:
        worker = self._make(environment, listener)
        self.spawn(self._start(worker, environment))
        return worker

    def _make(self, environment: Environment, listener: Listener) -> Worker:
        berth = Berth(self._folders.run, secrets.token_hex(4))
        worker = Worker(berth, environment.key, f"{berth.worker}:{secrets.token_hex(8)}", listener)
        self.add(worker)
        return worker

    async def _start(self, worker: Worker, environment: Environment) -> None:
        try:
            await self._fork(worker, environment)
            await worker.connect()
            if worker.leaving:
                worker.end(self._limits.grace)  # it was wanted no more before it was there
        except (ExecutorUnavailable, OSError) as error:
            worker.alive = False
            worker.leaving = True
            self.drop(worker)
            self._failed(worker, str(error))

    async def _fork(self, worker: Worker, environment: Environment) -> None:
        for left in reversed(range(STARTS)):
            try:
                await self.zygote.fork(self._order(worker, environment))
            except ExecutorUnavailable:
                if not left:
                    raise
                worker.berth = Berth(self._folders.run, secrets.token_hex(4))  # the first may have been begun
            else:
                return

    def _order(self, worker: Worker, environment: Environment) -> dict[str, Any]:
        folders, limits = self._folders, self._limits
        return {
            "worker": worker.berth.worker,
            "kind": "worker",
            "cookie": worker.cookie,
            "environment": environment.key,
            "argv": [environment.python, "-u", str(PACKAGE / "sdk" / "worker.py")],
            "env": {**environment.variables, **self.visibility(worker.devices)},
            "cwd": environment.cwd,
            "run": str(folders.run),
            "attempts": str(folders.attempts),
            "grace": limits.grace,
            "caps": [limits.head, limits.tail],
            "spec": {
                "worker": worker.berth.worker,
                "attempts": str(folders.attempts),
                "results": str(folders.results),
                "tasks": str(folders.tasks),
                "inputs": str(folders.inputs),
                "sources": list(environment.functions),
                "path": list(environment.path),
                "package_dir": str(PACKAGE),
                "limits": {"calls": limits.calls, "growth": limits.growth},
            },
        }
