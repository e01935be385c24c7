"""The commands of this host: each under a shim, which runs those of a slot one after the other and is used again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from mcp_scheduler.core.changes import Launch
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.errors import ExecutorUnavailable
from mcp_scheduler.executors.local import burial, ends, ranks, records
from mcp_scheduler.executors.local.ends import EndsKept
from mcp_scheduler.executors.local.folders import Berth, Folders
from mcp_scheduler.executors.local.held import COMMAND, is_held
from mcp_scheduler.executors.local.limits import Limits
from mcp_scheduler.executors.local.links import Message
from mcp_scheduler.executors.local.pool import Pool
from mcp_scheduler.executors.local.shim_link import ShimLink, ShimListener
from mcp_scheduler.ports import Environment

STARTS = 2  # a start is tried again when the zygote died under it
IDLE_SECONDS = 5.0  # a shim that had nothing to run for so long is ended
RUNS = 500  # of one shim that comes to rest; then a new one takes its place
AGAIN = 0.005  # seconds until a shim that lives, and has let go of its connection, is tried again
LAST_PATIENCE = 2.0  # seconds that closing waits for idle shims to leave


class CommandKeeper(ShimListener, Protocol):
    """The executor, as the commands see it."""

    def cookie_of(self, attempt: AttemptId, launch: Launch) -> str: ...
    def never_began(self, attempt: AttemptId, told: str) -> None: ...
    def accounted(self, attempt: AttemptId, record: Message | None, file: str) -> None: ...


class Commands:
    """Starts shims, hands commands to them, and says what became of those whose shim died."""

    def __init__(self, folders: Folders, limits: Limits, pool: Pool, keeper: CommandKeeper) -> None:
        self._folders, self._limits, self._pool, self._keeper = folders, limits, pool, keeper
        self.kept = EndsKept(folders.ends)
        self._shims: set[ShimLink] = set()
        self._slots: dict[str, ShimLink] = {}
        self._idle: list[tuple[float, ShimLink]] = []
        self._clean_up: asyncio.TimerHandle | None = None

    def launch(self, attempt: AttemptId, launch: Launch, payload: bytes, environment: Environment) -> ShimLink:
        """Run a command; the shim that does it. Errors: ValueError, with a sentence, for one that cannot be run."""
        order = self._order(attempt, launch, json.loads(payload), environment)
        shim = self._slots.get(launch.slot)
        if shim is None or shim.leaving:
            shim = self._slots[launch.slot] = self._take()
            shim.slot = launch.slot
        shim.give(attempt, order, environment)
        return shim

    def recall(self, slot: str) -> None:
        """Take back what waits in this slot."""
        if slot in self._slots:
            self._slots[slot].recall()

    def look(self, shim: ShimLink) -> None:
        """If it has nothing more to run, it is kept for the next command."""
        if shim.leaving and not shim.window:
            shim.end(0.0)
        elif shim.slot and not shim.window:
            self._free(shim)
            self._rest(shim)

    def _free(self, shim: ShimLink) -> None:
        if self._slots.get(shim.slot) is shim:
            del self._slots[shim.slot]
        shim.slot = ""

    def _rest(self, shim: ShimLink) -> None:
        if shim.given >= RUNS:
            shim.end(0.0)
            return
        loop = asyncio.get_running_loop()
        self._idle.append((loop.time(), shim))
        if self._clean_up is None:
            self._clean_up = loop.call_later(IDLE_SECONDS, self._end_the_idle)

    def stranger(self, berth: Berth) -> ShimLink:
        """A living shim of an earlier engine, which may have been of another version: it runs nothing else."""
        shim = ShimLink(berth, self._keeper)
        shim.leaving = True
        self._shims.add(shim)
        return shim

    def drop(self, shim: ShimLink) -> None:
        """It is gone."""
        self._free(shim)
        self.kept.gone(shim.berth.worker)
        self._shims.discard(shim)
        self._idle = [entry for entry in self._idle if entry[1] is not shim]
        shim.over.set()

    async def bury(self, shim: ShimLink) -> bool:
        """Its connection has ended: say what became of its commands, when nothing of them is left. False if it lives,
        and had only let go of us."""
        while is_held(shim.berth):
            with contextlib.suppress(OSError):
                await shim.connect()
                if not shim.window:
                    shim.end(0.0)
                return False
            await asyncio.sleep(AGAIN)
        window, shim.window = shim.window, {}
        if window or shim.berth.lock.exists():
            await burial.bury_command_at_last(shim.berth, self._folders)
        self.account(shim, window.values())
        self.drop(shim)
        return True

    def account(self, shim: ShimLink, attempts: Iterable[AttemptId]) -> None:
        """Say of each what its record says, or that it never began."""
        attempts = list(attempts)
        found = ends.records(ends.files(self._folders.ends, shim.berth.worker)) if attempts else {}
        for attempt in attempts:
            file, record = found.get(str(attempt), ("", None))
            self._keeper.accounted(attempt, record or records.read(self._folders.attempts, str(attempt)), file)

    async def close(self) -> None:
        """End the idle, leave the busy to the next engine."""
        if self._clean_up is not None:
            self._clean_up.cancel()
        leaving: list[ShimLink] = []
        for shim in self._shims:
            if shim.window:
                shim.disconnect()
            else:
                shim.end(self._limits.grace)
                leaving.append(shim)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_PATIENCE):
                await asyncio.gather(*[shim.over.wait() for shim in leaving])
        for shim in leaving:
            shim.disconnect()

    # -- shims

    def _take(self) -> ShimLink:
        while self._idle:
            _, shim = self._idle.pop()
            if not shim.leaving:
                return shim
        shim = ShimLink(self._berth(), self._keeper)
        self._shims.add(shim)
        self._pool.spawn(self._start(shim))
        return shim

    def _berth(self) -> Berth:
        return Berth(self._folders.run, secrets.token_hex(4))

    async def _start(self, shim: ShimLink) -> None:
        try:
            await self._fork(shim)
            await shim.connect()
        except (ExecutorUnavailable, OSError) as error:
            shim.leaving = True
            attempts = shim.take_back()
            self.drop(shim)
            for attempt in attempts:
                self._keeper.never_began(attempt, str(error))
        else:
            self.look(shim)  # it may all have been stopped before it had begun

    async def _fork(self, shim: ShimLink) -> None:
        """A shim that was forked and is not met leaves by itself, without having run anything."""
        for left in reversed(range(STARTS)):
            try:
                await self._pool.zygote.fork(self._birth(shim.berth))
            except ExecutorUnavailable:
                if not left:
                    raise
                shim.berth = self._berth()
            else:
                return

    def _birth(self, berth: Berth) -> dict[str, Any]:
        folders = self._folders
        return {
            "worker": berth.worker,
            "kind": COMMAND,
            "environment": "",
            "run": str(folders.run),
            "attempts": str(folders.attempts),
            "ends": str(folders.ends),
            "results": str(folders.results),
            "tasks": str(folders.tasks),
            "grace": self._limits.grace,
        }

    def _end_the_idle(self) -> None:
        """The longest idle stand first."""
        self._clean_up = None
        loop = asyncio.get_running_loop()
        before = loop.time() - IDLE_SECONDS
        while self._idle and self._idle[0][0] <= before:
            self._idle.pop(0)[1].end(0.0)
        if self._idle:
            self._clean_up = loop.call_later(self._idle[0][0] - before, self._end_the_idle)

    # -- what is run

    def _order(
        self, attempt: AttemptId, launch: Launch, call: Mapping[str, Any], environment: Environment
    ) -> dict[str, Any]:
        limits = self._limits
        env = {**call.get("env", {}), **self._pool.visibility(launch.devices)}
        if len(launch.devices) > 1:
            env.setdefault("NPROC_PER_NODE", str(len(launch.devices)))
        if "PYTHONUNBUFFERED" not in environment.variables:
            env.setdefault("PYTHONUNBUFFERED", "1")
        return {
            "attempt": str(attempt),
            "cookie": self._keeper.cookie_of(attempt, launch),
            "argv": _argv(call),
            "environment": environment.key,
            "env": env,
            "cwd": call["cwd"],
            "stdin": None if call.get("stdin") is None else _text(call["stdin"]),
            "folder": str(self._folders.tasks / attempt.task),
            "inputs": None if "inputs" not in call else [str(self._folders.inputs), call["inputs"]["tree"]],
            "timeout": launch.terms.timeout,
            "idle_timeout": launch.terms.idle_timeout,
            "caps": [limits.head, limits.tail],
        }


def _argv(call: Mapping[str, Any]) -> list[str]:
    """The program with its arguments; with `ranks`, the program that starts so many of it."""
    told = words(call["command"])
    if "ranks" not in call:
        return told
    return [sys.executable, "-I", "-S", ranks.PROGRAM, str(call["ranks"]), "--", *told]


def words(command: list[Any]) -> list[str]:
    """The argument list, other tasks' results put in as text. ValueError for what no program can be given."""
    told = [_text(word) for word in command]
    if any("\0" in word for word in told):
        raise ValueError("An argument of the command, filled in from another task's result, holds a NUL byte.")
    return told


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
