"""SIGKILL at any moment: what was acknowledged is there, and nothing is there by half."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_scheduler.core.events import Origin
from mcp_scheduler.core.states import State
from mcp_scheduler.ports import TaskQuery
from mcp_scheduler.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio
KILLS = 20
COMMITTER = Path(__file__).with_name("committer.py")
ROOT = Path(__file__).parents[3]


def commit_until_killed(path: Path, first: int, acknowledged: int) -> int:
    """The last number that the child acknowledged before it was killed, right after its `acknowledged`-th answer."""
    command = [sys.executable, str(COMMITTER), str(path), str(first)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as child:
        assert child.stdout is not None
        for _ in range(acknowledged):
            assert child.stdout.readline(), "the child ended by itself"
        child.kill()
        rest = child.stdout.read().split("\n")
    whole = [line for line in rest[:-1] if line]
    return int(whole[-1]) if whole else first + acknowledged - 1


async def check(path: Path, last: int) -> int:
    """Everything up to `last` is there and whole; the number of the newest task, which may be one more."""
    store = SqliteStore(path)
    boot = await store.open()
    try:
        assert not boot.clean
        [running] = boot.tasks
        newest = running.seq
        assert newest in (last, last + 1)
        assert [attempt.id.task for attempt in boot.attempts] == [running.id]
        assert await store.counts() == (
            {State.RUNNING: 1, State.SUCCEEDED: newest - 1} if newest > 1 else {State.RUNNING: 1}
        )
        names = [f"t{seq}" for seq in range(1, newest + 1)]
        bodies = await store.payloads(names)
        assert {name: len(body) for name, body in bodies.items()} == {
            f"t{seq}": seq % 5000 for seq in range(1, newest + 1)
        }
        results = await store.results(names[:-1])
        assert {result.inline for result in results.values()} <= {b"1"}
        for seq in (newest, max(1, newest - 1)):
            assert await store.remembered(Origin("door", str(seq))) is not None
            assert [task.seq for task in await store.find(TaskQuery(tag=f"tag{seq}"))] == [seq]
            assert await store.group(f"g{seq}") is not None
        assert await store.remembered(Origin("door", str(newest + 1))) is None
        assert await store.group(f"g{newest + 1}") is None
        return newest
    finally:
        await store.close()


async def test_twenty_kills_lose_nothing_and_leave_nothing_by_half(path: Path) -> None:
    chance = random.Random(7)
    newest = 0
    for _ in range(KILLS):
        last = commit_until_killed(path, newest + 1, chance.randint(1, 40))
        newest = await check(path, last)
    assert newest >= KILLS
