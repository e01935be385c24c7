"""The engine's side of the zygote: starts it, asks it for shims, starts another when it died."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from mcp_scheduler.errors import ExecutorUnavailable
from mcp_scheduler.executors.local import zygote
from mcp_scheduler.executors.local.links import LineLink, Message

_PASSED = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")
_PROGRAM = str(Path(zygote.__file__).resolve())
LOCK = "zygote.held"
_LEAVE = 2.0  # seconds for the zygote to end after its connection is closed


class ZygoteLink:
    """In the run folder `zygote.log` takes what zygote and shims have to complain about (they must not hold the
    engine's own streams open), and `zygote.held` is locked while a zygote lives."""

    def __init__(self, run: Path) -> None:
        self._log = run / "zygote.log"
        self._lock = run / LOCK
        self._process: subprocess.Popen[bytes] | None = None
        self._link: LineLink | None = None
        self._answers: dict[str, asyncio.Future[int]] = {}
        self._starting = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def fork(self, order: dict[str, Any]) -> int:
        """A new shim for this order; its pid. Errors: `ExecutorUnavailable`, also when the zygote died meanwhile."""
        link = await self._connected()
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._answers[order["worker"]] = answer
        link.send({"fork": order})
        return await answer

    async def _connected(self) -> LineLink:
        async with self._starting:
            if self._link is None or not self._link.is_open:
                self._link = await self._start()
            return self._link

    async def _start(self) -> LineLink:
        self._collect()
        ours, theirs = socket.socketpair()
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            # A program without threads, started before any order: vfork and exec, never a fork of the engine itself.
            self._process = subprocess.Popen(  # noqa: ASYNC220 (a few ms, once; asyncio's own would watch the child)
                [sys.executable, "-I", "-S", _PROGRAM, str(self._lock)],
                stdin=theirs.fileno(),
                stdout=log,
                stderr=log,
                env={name: os.environ[name] for name in _PASSED if name in os.environ},
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise ExecutorUnavailable(f"The zygote cannot be started: {error}.") from error
        finally:
            theirs.close()
            os.close(log)
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        _, link = await loop.create_unix_connection(lambda: LineLink(self._heard, self._gone), sock=ours)
        return link

    def _heard(self, message: Message) -> None:
        ((kind, told),) = message.items()
        answer = self._answers.pop(told["worker"])
        if answer.done():
            return  # whoever asked was cancelled; the shim ends by itself when nobody connects
        if kind == "forked":
            answer.set_result(told["pid"])
        else:
            answer.set_exception(ExecutorUnavailable(f"The zygote {told['error']}."))

    def _gone(self) -> None:
        answers, self._answers = self._answers, {}
        for answer in answers.values():
            if not answer.done():
                answer.set_exception(ExecutorUnavailable("The zygote died before it answered."))

    def _collect(self) -> None:
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_LEAVE)
            self._process = None

    async def close(self) -> None:
        """The zygote ends; shims and workers do not."""
        if self._link is not None:
            self._link.close()
        await asyncio.to_thread(self._collect)
