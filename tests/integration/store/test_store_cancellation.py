"""A caller that is cancelled leaves no open transaction and no half one."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext

import anyio
import anyio.lowlevel
import pytest
from store_parts import added, moved, new

from mcp_scheduler.core.states import State
from mcp_scheduler.store.sqlite import SqliteStore
from mcp_scheduler.store.transaction import raw

pytestmark = pytest.mark.anyio


def in_transaction(store: SqliteStore) -> bool:
    opened = store._writer._open
    assert opened is not None
    return raw(opened[0]).in_transaction


async def test_two_hundred_cancelled_commits_are_whole_or_not_there(store: SqliteStore) -> None:
    committed = cancelled = 0
    for turn in range(200):
        names = [f"t{turn}-{i}" for i in range(5)]
        task = asyncio.ensure_future(store.commit(added(*map(new, names))))
        for _ in range(turn % 7):
            await asyncio.sleep(0)
        is_in_time = task.cancel()  # a machine that is busy otherwise may have let the thread finish already
        with pytest.raises(asyncio.CancelledError) if is_in_time else nullcontext():
            await task
        cancelled += is_in_time
        assert not await store._thread.run(in_transaction, store)
        found = await store.tasks(names)
        assert len(found) in (0, 5)
        committed += len(found) // 5
    assert committed > 0
    assert cancelled > 0
    assert await store.counts() == {State.QUEUED: committed * 5}


async def test_a_cancelled_scope_is_left_only_when_the_commit_is_over(store: SqliteStore) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.commit(added(new("a")))
        await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert list(await store.tasks(["a"])) == ["a"]


async def test_cancelled_reads_leave_the_connections_usable(store: SqliteStore) -> None:
    await store.commit(added(new("a")))
    for turn in range(200):
        task = asyncio.ensure_future(store.tasks(["a"]))
        for _ in range(turn % 9):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
    assert list(await store.tasks(["a"])) == ["a"]


async def test_reads_that_are_taken_back_while_they_wait_are_not_done(store: SqliteStore, monkeypatch) -> None:
    await store.commit(added(new("a")))
    reads, begun = store._reads, []
    really = reads._read

    async def noted(*read):
        begun.append(read)
        return await really(*read)

    monkeypatch.setattr(reads, "_read", noted)
    crowd = [asyncio.ensure_future(store.tasks(["a"])) for _ in range(200)]
    await asyncio.sleep(0)
    for task in crowd:
        task.cancel()
    await asyncio.wait(crowd)
    assert list(await store.tasks(["a"])) == ["a"]
    assert len(begun) < 10


async def test_readers_see_one_side_or_the_other_of_a_commit_and_never_wait_for_it(store: SqliteStore) -> None:
    names = [f"t{i}" for i in range(400)]
    await store.commit(added(*map(new, names)))
    changes = moved(names[0], State.HELD, 11.0)
    for name in names:
        changes.statuses.update(moved(name, State.HELD, 11.0).statuses)
    writing = asyncio.ensure_future(store.commit(changes))
    seen = [await store.counts()]
    while not writing.done():
        seen.append(await store.counts())
    await writing
    seen.append(await store.counts())
    assert all(counts in ({State.QUEUED: 400}, {State.HELD: 400}) for counts in seen)
    assert seen[-1] == {State.HELD: 400}
