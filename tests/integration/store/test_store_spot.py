"""Commits that the event loop writes itself: when it does, and what it leaves to the thread."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from store_parts import added, ended, new

from mcp_scheduler.core.changes import Changes
from mcp_scheduler.store import spot as spots
from mcp_scheduler.store.spot import Spot
from mcp_scheduler.store.sqlite import SqliteStore
from mcp_scheduler.store.writer import Writer

pytestmark = pytest.mark.anyio


class Time:
    def __init__(self) -> None:
        self.wall = 0.0
        self.cpu = 0.0

    def spot(self) -> Spot:
        return Spot(lambda: self.wall, lambda: self.cpu)

    def commit(self, spot: Spot, *, took: float, worked: float) -> None:
        with spot.watched():
            self.wall += took
            self.cpu += worked


SMALL = added(new("t-1"))


def test_the_thread_writes_until_the_loop_was_seen_to_be_idle() -> None:
    time = Time()
    spot = time.spot()
    seen = 0
    while not spot.takes(SMALL):
        time.commit(spot, took=0.001, worked=0.0001)
        seen += 1
        assert seen < 100
    assert seen == spots.SEEN // 2 + 1


@pytest.mark.parametrize(("took", "worked"), [(0.001, 0.0005), (0.02, 0.0001)])
def test_a_loop_that_works_meanwhile_or_would_wait_for_long_leaves_it_to_the_thread(took: float, worked: float) -> None:
    time = Time()
    spot = time.spot()
    for _ in range(100):
        assert not spot.takes(SMALL)
        time.commit(spot, took=took, worked=worked)


def idle(time: Time) -> Spot:
    spot = time.spot()
    for _ in range(spots.SEEN):
        time.commit(spot, took=0.001, worked=0.0001)
    return spot


def test_a_single_hiccup_of_the_disk_changes_nothing() -> None:
    time = Time()
    spot = idle(time)
    time.commit(spot, took=0.5, worked=0.0001)
    assert spot.takes(SMALL)


def test_now_and_then_the_thread_writes_and_shows_whether_the_loop_is_still_idle() -> None:
    time = Time()
    spot = idle(time)
    taken = 0
    for _ in range(1_000):  # from now on there is work meanwhile
        if spot.takes(SMALL):
            taken += 1
        else:
            time.commit(spot, took=0.001, worked=0.002)
    assert taken == (spots.SEEN // 2 + 1) * (spots.PROBE - 1)


def test_what_is_large_is_left_to_the_thread() -> None:
    spot = idle(Time())
    large = b"x" * (spots.BYTES + 1)
    assert not spot.takes(added(*(new(f"t-{number}") for number in range(spots.ROWS + 1))))
    assert not spot.takes(added(new("t-1", payload=large)))
    assert not spot.takes(ended("t-1", result=large))
    assert spot.takes(SMALL)


class Always(Spot):
    def takes(self, changes: Changes) -> bool:
        return True


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which thread wrote, commit by commit."""
    found: list[str] = []
    commit: Callable[..., bool] = Writer.commit

    def told(self: Writer, changes: Changes, *, patient: bool = True) -> bool:
        due = commit(self, changes, patient=patient)
        found.append(threading.current_thread().name)
        return due

    monkeypatch.setattr(Writer, "commit", told)
    return found


async def test_a_lone_caller_is_soon_written_for_on_the_spot(path: Path, threads: list[str]) -> None:
    store = SqliteStore(path, Spot(lambda: 0.0, lambda: 0.0))
    await store.open()
    for number in range(spots.SEEN):
        await store.commit(added(new(f"t-{number}")))
    await store.close()
    assert threads[0] == "store-writer"
    assert threads[-1] == threading.current_thread().name


async def test_where_another_program_holds_the_lock_the_thread_waits_for_it_and_the_loop_goes_on(
    path: Path, threads: list[str]
) -> None:
    store = SqliteStore(path, Always())
    await store.open()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with anyio.fail_after(20):
        waiting = asyncio.ensure_future(store.commit(SMALL))
        for _ in range(20):  # the loop turns while it is waited for
            await asyncio.sleep(0)
        assert not waiting.done()
        other.execute("ROLLBACK")
        await waiting
        assert await store.tasks(["t-1"])
        await store.commit(added(new("t-2")))
    assert threads == ["store-writer", threading.current_thread().name]
    other.close()
    await store.close()


async def test_while_the_thread_works_nothing_is_written_beside_it(path: Path, threads: list[str]) -> None:
    store = SqliteStore(path, Always())
    await store.open()
    with anyio.fail_after(20):
        other = asyncio.ensure_future(store.checkpoint())
        await asyncio.sleep(0)  # it is in the thread's hands
        await store.commit(SMALL)
        await other
    assert threads == ["store-writer"]
    await store.close()
