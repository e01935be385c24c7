"""The least that can be durable: what is left of a scheduler when everything that makes one is taken away.

One event loop, one SQLite file with an fsync at every commit, one thread that writes, worker processes over socket
pairs. A task is a number: no needs, no retries, no limits, no cancelling, no views, and no check of any kind. Nothing
of ours is in it. It is the floor of a machine: what a scheduler in Python that keeps its promises is to be measured by.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

WINDOW = 64  # calls on their way to one worker
WORKER = """
import json, os, sys
def noop(value):
    return value
descriptor = int(sys.argv[1])
rest = b""
while piece := os.read(descriptor, 1 << 16):
    *lines, rest = (rest + piece).split(b"\\n")
    answers = [json.dumps([number, noop(value)]) for number, value in map(json.loads, lines)]
    os.write(descriptor, "".join(f"{answer}\\n" for answer in answers).encode())
"""
TABLE = "CREATE TABLE tasks (id INTEGER PRIMARY KEY, state TEXT NOT NULL, body TEXT NOT NULL, result TEXT)"


class Bare:
    """An async context manager with one method for one call and one for many."""

    def __init__(self, folder: Path, workers: int) -> None:
        self._database = sqlite3.connect(folder / "bare.db", isolation_level=None, check_same_thread=False)
        for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", TABLE):
            self._database.execute(statement)
        self._thread = ThreadPoolExecutor(1)
        self._number = 0
        self._queued: deque[tuple[int, int]] = deque()
        self._ends: list[tuple[int, object]] = []
        self._results: dict[int, asyncio.Future[object]] = {}
        self._added: list[tuple[int, str]] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._workers = [_Worker(self) for _ in range(workers)]

    async def __aenter__(self) -> Self:
        for worker in self._workers:
            await worker.start()
        self._turns = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._turns.cancel()
        await asyncio.gather(self._turns, return_exceptions=True)
        for worker in self._workers:
            worker.stop()
        self._thread.shutdown()
        self._database.close()

    async def submit(self, values: Sequence[int]) -> list[asyncio.Future[object]]:
        """The results to come, when the calls are on the disk."""
        loop = asyncio.get_running_loop()
        results: list[asyncio.Future[object]] = []
        for value in values:
            self._number += 1
            self._added.append((self._number, json.dumps(value)))
            self._queued.append((self._number, value))
            self._results[self._number] = loop.create_future()
            results.append(self._results[self._number])
        durable = loop.create_future()
        self._waiting.append(durable)
        self._wake.set()
        await durable
        return results

    def ended(self, ends: Sequence[tuple[int, object]]) -> None:
        """A worker has told."""
        self._ends += ends
        self._wake.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            added, self._added = self._added, []
            ends, self._ends = self._ends, []
            waiting, self._waiting = self._waiting, []
            starting = [(worker, self._take(worker)) for worker in self._workers]
            begun = [(number,) for _, calls in starting for number, _ in calls]
            await loop.run_in_executor(self._thread, self._commit, added, begun, ends)
            for worker, calls in starting:
                worker.send(calls)
            for durable in waiting:
                durable.set_result(None)
            for number, result in ends:
                self._results.pop(number).set_result(result)

    def _take(self, worker: _Worker) -> list[tuple[int, int]]:
        calls = [self._queued.popleft() for _ in range(min(WINDOW - worker.under_way, len(self._queued)))]
        worker.under_way += len(calls)
        return calls

    def _commit(
        self, added: Sequence[tuple[int, str]], begun: Sequence[tuple[int]], ends: Sequence[tuple[int, object]]
    ) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany("INSERT INTO tasks VALUES (?, 'queued', ?, NULL)", added)
        self._database.executemany("UPDATE tasks SET state = 'running' WHERE id = ?", begun)
        rows = [(json.dumps(result), number) for number, result in ends]
        self._database.executemany("UPDATE tasks SET state = 'succeeded', result = ? WHERE id = ?", rows)
        self._database.execute("COMMIT")


class _Worker(asyncio.Protocol):
    def __init__(self, bare: Bare) -> None:
        self.under_way = 0
        self._bare = bare
        self._rest = b""
        self._ours, theirs = socket.socketpair()
        command = [sys.executable, "-c", WORKER, str(theirs.fileno())]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()

    async def start(self) -> None:
        self._transport, _ = await asyncio.get_running_loop().create_connection(lambda: self, sock=self._ours)

    def send(self, calls: Sequence[tuple[int, int]]) -> None:
        if calls:
            self._transport.write("".join(f"{json.dumps(call)}\n" for call in calls).encode())

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        ends = [json.loads(line) for line in lines]
        self.under_way -= len(ends)
        self._bare.ended(ends)

    def stop(self) -> None:
        self._transport.abort()
        self._process.terminate()
        self._process.wait(10)
