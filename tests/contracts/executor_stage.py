"""Stages for tests of executors: something that launches calls, hears the reports, and can become the next engine."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from mcp_scheduler.core.changes import Launch
from mcp_scheduler.core.events import Began, Ended, Outcome, Returned
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Attempt
from mcp_scheduler.core.states import Reason
from mcp_scheduler.core.task import Kind, Terms
from mcp_scheduler.executors.local.executor import LocalExecutor
from mcp_scheduler.executors.local.folders import Folders
from mcp_scheduler.executors.local.limits import Limits
from mcp_scheduler.executors.scripted import ScriptedExecutor
from mcp_scheduler.ports import Environment, Executor

FUNCTIONS = Path(__file__).with_name("sample_functions.py")
LIMIT = 30.0  # seconds after which a test that waits has failed


class WallClock:
    def now(self) -> float:
        return time.time()  # noqa: TID251 (a test's clock)


class Gate(Protocol):
    """Where a call of `wait` stands until it is let through."""

    arguments: dict[str, str]

    async def reached(self) -> int: ...
    def open(self) -> None: ...


class Stage:
    """Launches calls of the sample functions and keeps every report."""

    executor: Executor

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.launches: dict[AttemptId, Attempt] = {}
        self._news = asyncio.Event()
        self._tasks = 0

    async def open(self, running: list[AttemptId] | None = None) -> None:
        """Become an engine, with these attempts of the last one under way in its store."""
        await self.executor.start(self._hear)
        await self.executor.recover([self.launches[attempt] for attempt in running or ()], {})

    def call(self, function: str, *, slot: str = "", timeout: float | None = None, **arguments: Any) -> AttemptId:
        """One call in a slot of its own, or behind the others in the slot that is named."""
        (attempt,) = self.calls(function, [arguments], slot=slot, timeout=timeout)
        return attempt

    def command(self, argv: list[Any], *, timeout: float | None = None) -> AttemptId:
        """A command in a slot of its own."""
        self._tasks += 1
        attempt = AttemptId(f"cmd-{id(self) % 10000}-{self._tasks}", 1)
        terms = Terms(Kind.COMMAND, "x", "here", "tester", timeout=timeout)
        self.launches[attempt] = Attempt(attempt, str(attempt), "local", 0.0)
        payload = json.dumps({"command": argv, "cwd": "/", "env": {}}).encode()
        self.executor.launch(Launch(str(attempt), "local", terms, (attempt,)), {attempt: payload})
        return attempt

    async def stands_still(self, attempt: AttemptId, *, processes: int) -> None:
        """Wait until all of so many processes of this command stand still."""
        raise NotImplementedError

    async def moves(self, attempt: AttemptId, *, processes: int) -> None:
        """Wait until none of so many does."""
        raise NotImplementedError

    def calls(
        self, function: str, arguments: list[dict[str, Any]], *, slot: str = "", timeout: float | None = None
    ) -> list[AttemptId]:
        """Several calls, handed over at once."""
        attempts: list[AttemptId] = []
        for _ in arguments:
            self._tasks += 1
            attempts.append(AttemptId(f"task-{id(self) % 10000}-{self._tasks}", 1))
        slot = slot or str(attempts[0])
        name = f"{FUNCTIONS.stem}.{function}"
        terms = Terms(Kind.FUNCTION, name, "here", "tester", timeout=timeout)
        payloads = {
            attempt: json.dumps({"function": name, "arguments": each}).encode()
            for attempt, each in zip(attempts, arguments, strict=True)
        }
        for attempt in attempts:
            self.launches[attempt] = Attempt(attempt, slot, "local", 0.0)
        self.executor.launch(Launch(slot, "local", terms, tuple(attempts)), payloads)
        return attempts

    async def end_of(self, attempt: AttemptId, limit: float = LIMIT) -> Outcome:
        """How the attempt ended, waited for."""
        await self.until(lambda: self.ends(attempt), limit)
        (end,) = self.ends(attempt)
        return end.outcome

    async def return_of(self, attempt: AttemptId) -> None:
        await self.until(lambda: Returned(attempt) in self.events)

    def ends(self, attempt: AttemptId) -> list[Ended]:
        return [event for event in self.events if isinstance(event, Ended) and event.attempt == attempt]

    def begins(self) -> list[AttemptId]:
        return [event.attempt for event in self.events if isinstance(event, Began)]

    async def until(self, condition: Callable[[], Any], limit: float = LIMIT) -> None:
        """Wait for a condition that a report brings about."""
        async with asyncio.timeout(limit):
            while not condition():
                self._news.clear()
                await self._news.wait()

    def _hear(self, event: Any) -> None:
        self.events.append(event)
        self._news.set()


class Fifos:
    """Two FIFOs: the call writes its pid into one and waits at the other."""

    def __init__(self, folder: Path) -> None:
        began, gate = folder / "began", folder / "gate"
        folder.mkdir()
        os.mkfifo(began)
        os.mkfifo(gate)
        self.arguments = {"gate": str(gate), "began": str(began)}
        self._began = os.open(began, os.O_RDWR | os.O_NONBLOCK)
        self._gate = os.open(gate, os.O_RDWR | os.O_NONBLOCK)

    async def reached(self) -> int:
        """The pid of the process that stands here."""
        loop = asyncio.get_running_loop()
        arrived: asyncio.Future[bytes] = loop.create_future()
        loop.add_reader(self._began, lambda: arrived.done() or arrived.set_result(os.read(self._began, 100)))
        try:
            return int(await asyncio.wait_for(arrived, LIMIT))
        finally:
            loop.remove_reader(self._began)

    def open(self) -> None:
        os.write(self._gate, b"through")
        os.close(self._gate)  # the end of the file lets it through

    def close(self) -> None:
        for fd in (self._began, self._gate):
            try:
                os.close(fd)
            except OSError:
                continue  # opened by the test


class LocalStage(Stage):
    """Real processes. `root` has a short path: sockets lie below it."""

    def __init__(self, root: Path, limits: Limits | None = None, source: Path = FUNCTIONS) -> None:
        super().__init__()
        self.root = root
        self.folders = Folders(root / "attempts", root / "results", root / "run", root / "tasks")
        self.environment = Environment(
            "here", sys.executable, str(root), (), (str(source),), {"PATH": os.environ["PATH"], "TMPDIR": str(root)}
        )
        self.limits = limits or Limits(grace=5.0)
        self.executor: LocalExecutor = self._executor()
        self._gates: list[Fifos] = []

    def _executor(self) -> LocalExecutor:
        executor = LocalExecutor(self.folders, WallClock(), self.limits)
        executor.know(self.environment)
        return executor

    async def stands_still(self, attempt: AttemptId, *, processes: int) -> None:
        await self._in_states(attempt, lambda states: states.count("T") == len(states) == processes)

    async def moves(self, attempt: AttemptId, *, processes: int) -> None:
        await self._in_states(attempt, lambda states: "T" not in states and len(states) == processes)

    async def _in_states(self, attempt: AttemptId, are_as_wanted: Callable[[list[str]], bool]) -> None:
        """The kernel tells nobody when a process is stopped: look until it is."""
        mark = f"MCP_SCHEDULER_ATTEMPT={attempt}".encode()
        async with asyncio.timeout(LIMIT):
            while not are_as_wanted(states_of(mark)):  # noqa: ASYNC110 (nothing could set an event)
                await asyncio.sleep(0.005)

    async def restart(self, running: list[AttemptId]) -> None:
        """The engine goes, the next one comes."""
        await self.executor.close()
        self.events.clear()
        self.executor = self._executor()
        await self.open(running)

    def gate(self) -> Fifos:
        self._gates.append(Fifos(self.root / f"gate{len(self._gates)}"))
        return self._gates[-1]

    async def close(self) -> None:
        """End what is still under way, then the executor."""
        for attempt in self.launches:
            self.executor.stop(attempt, None)
        ended = {event.attempt for event in self.events if isinstance(event, Ended | Returned)}
        for attempt in self.launches:
            if attempt in self.executor._where and attempt not in ended:
                await self.until(lambda one=attempt: self.ends(one) or Returned(one) in self.events)
        await self.executor.close()
        for gate in self._gates:
            gate.close()


async def process_gone(pid: int) -> None:
    """Wait for the end of any process."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(handle, ended.set)
    try:
        await asyncio.wait_for(ended.wait(), LIMIT)
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def is_alive(pid: int) -> bool:
    """A zombie is not: whoever should have collected it is no business of ours."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def processes_of(root: Path) -> list[int]:
    """Everything that was started for the stage in `root`: zygotes, shims, workers and what calls started."""
    mark = f"TMPDIR={root}".encode()
    found: list[int] = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                variables = (process / "environ").read_bytes().split(b"\0")
            except OSError:
                continue  # gone meanwhile
            if mark in variables:
                found.append(int(process.name))
    return found


def states_of(mark: bytes) -> list[str]:
    """The states of all processes that have this in their environment, as the kernel tells them: T stands still."""
    found: list[str] = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                variables = (process / "environ").read_bytes().split(b"\0")
                state = (process / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue  # gone meanwhile
            if mark in variables and state != "Z":
                found.append(state)
    return found


class ScriptedGate:
    def __init__(self, stage: ScriptedStage, name: str) -> None:
        self._stage = stage
        self.arguments = {"gate": name, "began": ""}

    async def reached(self) -> int:
        await self._stage.until(self._standing)
        return 0

    def open(self) -> None:
        (attempt,) = self._standing()
        self._stage.executor.end(attempt, Outcome(result=b'"through"'))

    def _standing(self) -> list[AttemptId]:
        executor = self._stage.executor
        return [one for one in executor.running if self.arguments["gate"].encode() in executor.launched[one]]


class ScriptedStage(Stage):
    """No processes: the script plays the sample functions."""

    def __init__(self) -> None:
        super().__init__()
        self.executor: ScriptedExecutor = ScriptedExecutor(WallClock(), self._play)
        self.executor.gives_way = lambda payload: b"count_by_turns" in payload
        self._gates = 0

    def _play(self, attempt: AttemptId, payload: bytes) -> Outcome | None:
        call = json.loads(payload)
        if "command" in call:
            return None
        match call["function"].rpartition(".")[2]:
            case "echo":
                return Outcome(result=json.dumps(call["arguments"]["value"]).encode())
            case "fail":
                return Outcome(Reason.ERROR, f"ValueError: {call['arguments']['text']}")
            case _:
                return None

    async def stands_still(self, attempt: AttemptId, *, processes: int) -> None:
        assert attempt in self.executor.still

    async def moves(self, attempt: AttemptId, *, processes: int) -> None:
        assert attempt in self.executor.running
        assert attempt not in self.executor.still

    async def restart(self, running: list[AttemptId]) -> None:
        self.events.clear()
        await self.open(running)

    def gate(self) -> ScriptedGate:
        self._gates += 1
        return ScriptedGate(self, f"gate-{self._gates}-")

    async def close(self) -> None:
        await self.executor.close()
