"""What a new engine finds of its predecessor's work: ended, adopted, given back or lost, and never run twice."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Attempt
from mcp_scheduler.core.states import Reason
from mcp_scheduler.executors.local import burial, ending, ends, process, records, silent
from mcp_scheduler.executors.local.commands import Commands
from mcp_scheduler.executors.local.folders import Berth, Folders, berths
from mcp_scheduler.executors.local.frozen import Keeper
from mcp_scheduler.executors.local.held import COMMAND, Identity, is_held
from mcp_scheduler.executors.local.limits import Limits
from mcp_scheduler.executors.local.links import Message
from mcp_scheduler.executors.local.pool import Pool
from mcp_scheduler.executors.local.shim_link import ShimLink
from mcp_scheduler.executors.local.worker import Listener, Worker
from mcp_scheduler.executors.local.zygote_link import LOCK

PATIENCE = 2.0  # seconds that recovery waits for workers to speak; whoever is frozen may speak later
_NO_TRACE = "The machine was restarted, or its run folder was lost, while this call may have been running."


class Adopter(Listener, Protocol):
    """The executor, as recovery sees it."""

    def adopt(self, worker: Worker | ShimLink, attempt: Attempt) -> None: ...
    def report_record(self, attempt: AttemptId, record: Message, file: str = "") -> None: ...
    def given_back(self, attempt: AttemptId) -> None: ...
    def stop(self, attempt: AttemptId, reason: Reason | None) -> None: ...
    def pause(self, attempt: AttemptId) -> None: ...


class Recovery:
    """Attempts stay `undecided` until there is a record, a worker claims them, or nobody is left who could."""

    def __init__(
        self,
        folders: Folders,
        limits: Limits,
        rooms: tuple[Pool, Commands],
        adopter: Adopter,
        unheard: dict[AttemptId, Keeper],
    ) -> None:
        """Who has what, and has not spoken in time, is noted in `unheard` until it speaks or is gone."""
        self._unheard = unheard
        self._folders, self._limits, self._adopter = folders, limits, adopter
        self._pool, self._commands = rooms
        self._undecided: dict[str, Attempt] = {}
        self._silent: set[Worker | ShimLink] = set()
        self._stops: dict[AttemptId, Reason | None] = {}
        self._pauses: set[AttemptId] = set()
        self._strange: set[ShimLink] = set()
        self._heard = asyncio.Event()
        self._traceless = False
        self._deciding = False

    async def run(self, attempts: Sequence[Attempt]) -> None:
        """Returns when every attempt is decided or the patience is over."""
        self._undecided = {str(attempt.id): attempt for attempt in attempts}
        alive, certain = await asyncio.to_thread(self._look_around)
        self._traceless = not certain
        await self._report_records()
        strangers = [self._stranger(berth) for berth in alive]
        self._silent.update(strangers)  # all of them before the first can speak: then nobody is left out
        for worker in strangers:
            await self._meet(worker)
        self._check()
        try:
            await asyncio.wait_for(self._heard.wait(), PATIENCE)
        except TimeoutError:
            await self._note_silence()  # somebody is frozen: its attempts are adopted, unheard

    async def _note_silence(self) -> None:
        keepers = list(self._silent)
        for keeper, who in zip(keepers, await asyncio.to_thread(silent.told, [k.berth for k in keepers]), strict=True):
            if keeper in self._silent:
                keeper.pids = keeper.pids or ({"shim": who.pid} if who.pid else {})
                found = [self._undecided[name].id for name in who.attempts if name in self._undecided]
                self._unheard.update(dict.fromkeys(found, keeper))

    def hello(self, worker: Worker, told: Message) -> None:
        """A living worker says what it has."""
        current = told["current"]
        for name in [*([current] if current else []), *told["unacked"], *told.get("queued", ())]:
            attempt = self._undecided.pop(name, None)
            if attempt is not None:
                self._adopt(worker, name, attempt, told)
            elif name != current:
                worker.acks.append(name)
        if not worker.window or (current and current not in worker.window):
            worker.end(self._limits.grace)  # it runs nothing, or something that nobody wants any more
        self.gone(worker)

    def shim_hello(self, shim: ShimLink, told: Message) -> None:
        """A shim says what it runs. One of our own is new, and runs what we gave it."""
        if shim not in self._strange:
            return
        self._strange.discard(shim)
        current = told["current"]
        attempt = self._undecided.pop(current, None) if current else None
        if attempt is not None:
            self._adopt(shim, current, attempt, told)
            if told["progress"]:
                self._adopter.progress(attempt.id, *told["progress"])
        else:
            shim.end(self._limits.grace)
        self.gone(shim)

    def gone(self, worker: Worker | ShimLink) -> None:
        """It has spoken, or never will."""
        self._silent.discard(worker)
        for attempt in [attempt for attempt, keeper in self._unheard.items() if keeper is worker]:
            del self._unheard[attempt]
        self._check()

    def stop(self, attempt: AttemptId, reason: Reason | None) -> None:
        """Stop an attempt as soon as it is known where it is."""
        if str(attempt) in self._undecided:
            self._stops[attempt] = reason

    def pause(self, attempt: AttemptId) -> None:
        """The same, for one that shall stand still."""
        if str(attempt) in self._undecided:
            self._pauses.add(attempt)

    def proceed(self, attempt: AttemptId) -> None:
        """It need not stand still any more."""
        self._pauses.discard(attempt)

    def _adopt(self, worker: Worker | ShimLink, name: str, attempt: Attempt, told: Message) -> None:
        self._adopter.adopt(worker, attempt)
        if name == told["current"]:
            self._adopter.began(attempt.id, told["began"])
        if attempt.id in self._stops:
            self._adopter.stop(attempt.id, self._stops.pop(attempt.id))
        elif attempt.id in self._pauses:
            self._adopter.pause(attempt.id)

    def _check(self) -> None:
        if not self._silent and not self._deciding:
            self._deciding = True
            self._pool.spawn(self._decide_rest())

    async def _decide_rest(self) -> None:
        await self._report_records()
        rest, self._undecided = self._undecided, {}
        try:
            await asyncio.to_thread(self._note_decision, list(rest))
        except OSError as error:
            # The disk is full, perhaps. Without the note the next engine believes no trace either, and repeats nothing.
            print(f"What recovery has decided could not be noted: {error}", file=sys.stderr)  # noqa: T201 (the log)
        self._commands.kept.decided()
        for name, attempt in rest.items():
            if self._traceless:
                self._adopter.report_record(attempt.id, ending.lost(_NO_TRACE) | {"attempt": name})
            else:
                self._adopter.given_back(attempt.id)
        self._heard.set()

    async def _report_records(self) -> None:
        found = await asyncio.to_thread(self._records, list(self._undecided))
        for name, (file, record) in found.items():
            if name in self._undecided:
                self._adopter.report_record(self._undecided.pop(name).id, record, file)

    def _records(self, names: list[str]) -> dict[str, tuple[str, Message]]:
        told = ends.records(ends.files(self._folders.ends))
        found = {name: told[name] for name in names if name in told}
        for name in names:
            record = None if name in found else records.read(self._folders.attempts, name)
            if record is not None:
                found[name] = "", record
        return found

    def _stranger(self, berth: Berth) -> Worker | ShimLink:
        who = Identity.read(berth)
        if who.kind == COMMAND:
            shim = self._commands.stranger(berth)
            self._strange.add(shim)
            return shim
        worker = Worker(berth, who.environment, who.cookie, self._adopter)
        worker.adopted = True
        self._pool.add(worker)
        return worker

    async def _meet(self, worker: Worker | ShimLink) -> None:
        try:
            await worker.connect()
        except OSError:  # it ended this moment
            self._silent.discard(worker)
            if isinstance(worker, ShimLink):
                await self._commands.bury(worker)
                return
            await burial.bury_at_last(worker.berth, self._folders.attempts, worker.cookie)
            worker.alive = False
            self._pool.drop(worker)

    def _look_around(self) -> tuple[list[Berth], bool]:
        """The living workers, and whether the traces of all others can be believed. The dead are buried."""
        certain = _is_same_boot(self._folders)
        _wait_until_free(self._folders.run / LOCK)  # the last engine's zygote may be about to start a worker
        alive: list[Berth] = []
        for berth in berths(self._folders.run):
            if is_held(berth):
                alive.append(berth)
            else:
                certain = burial.bury_by_kind(berth, self._folders) and certain
        wanted = {records.place(self._folders.attempts, name) for name in self._undecided}
        for record in self._folders.attempts.glob("*.exit"):
            if record not in wanted:  # its end was durable before the settling came through
                record.unlink(missing_ok=True)
        self._sweep({berth.worker for berth in alive})
        return alive, certain

    def _sweep(self, alive: set[str]) -> None:
        """The same for the files of shims: those of the dead go when what is wanted in them is settled."""
        for path in ends.files(self._folders.ends):
            shim = ends.shim_of(path.name)
            if shim not in alive:
                self._commands.kept.gone(shim)

    def _note_decision(self, names: list[str]) -> None:
        """First that these are lost, then that the traces of this boot can be believed."""
        if self._traceless:
            for name in names:
                records.write(self._folders.attempts, name, ending.lost(_NO_TRACE))
        _remember_boot(self._folders)


def _wait_until_free(lock: Path) -> None:
    """Until nobody holds the lock, or somebody frozen has held it for too long."""
    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    ends = time.monotonic() + PATIENCE
    try:
        while time.monotonic() < ends:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.005)
            else:
                return
    finally:
        os.close(fd)


def _is_same_boot(folders: Folders) -> bool:
    try:
        return (folders.run / "boot").read_text() == process.boot_id()
    except FileNotFoundError:
        return False


def _remember_boot(folders: Folders) -> None:
    draft = folders.run / "boot.draft"
    with draft.open("w") as file:
        file.write(process.boot_id())
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folders.run / "boot")
