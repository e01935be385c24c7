"""A house under attack, and the few things that its clients do."""

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path

import anyio

from campaigns.house import strike

LIMIT = 30.0  # seconds that anything may take on a busy machine
SETTINGS = {"MCP_SCHEDULER_POOL__CPUS": "3", "MCP_SCHEDULER_POOL__GRACE": "0.5"}


class Attacked:
    """A house, with what a test wants to know of it and do to it."""

    def __init__(self, house):
        self.house = house
        self.folder = house.folder

    def client(self, era="auto"):
        return self.house.client(era, "tester")

    def gate(self, name="gate"):
        """The file that a call of `until` waits for."""
        return self.folder / name

    def home_file(self, name):
        return self.house.home / name

    def runs(self, token):
        """What every attempt of this token has said of itself: the pid that ran it."""
        found = [path for path in (self.folder / "runs").iterdir() if path.name.split(" ")[0] == token]
        return [int(path.read_text().split(" ")[0]) for path in found if path.read_text()]

    async def run_of(self, token, times=1):
        """The pid of the newest attempt, waited for."""
        await self.until(lambda: len(self.runs(token)) >= times, f"run {times} of {token} begins")
        return self.runs(token)[-1]

    def engine(self):
        return self.house.engine()

    async def engine_after(self, old):
        """The next engine's pid, waited for."""
        await self.until(lambda: self.engine() not in (None, old), f"an engine after {old}")
        return self.engine()

    def violations(self):
        path = self.folder / "violations"
        return path.read_text() if path.exists() else ""

    async def until(self, condition, what):
        until = time.monotonic() + LIMIT
        while not condition():
            assert time.monotonic() < until, f"not within {LIMIT} s: {what}"
            await anyio.sleep(0.02)


def kill(pid):
    """SIGKILL, and wait until the process has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    strike(pid, signal.SIGKILL)
    assert select.select([handle], [], [], LIMIT)[0], f"process {pid} does not end"
    os.close(handle)


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def call(client, tool, **arguments):
    """The structured answer of a tool."""
    with anyio.fail_after(LIMIT):
        answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer.content
    return answer.structured_content


async def submit(client, function, token, **fields):
    """A task of a campaign's function; its id."""
    arguments = {"token": token, **fields.pop("arguments", {})}
    return (await call(client, "submit_task", function=f"work.{function}", arguments=arguments, **fields))["id"]


async def end_of(client, task):
    """The task when it has ended."""
    with anyio.fail_after(LIMIT):
        while (await call(client, "wait_for_tasks", ids=[task], timeout=10))["remaining"]:
            pass
    return await call(client, "get_task", id=task, detail=True)
