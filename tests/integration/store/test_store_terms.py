"""Terms are forgotten when the last task that has them goes, and that may be while others are being read."""

from __future__ import annotations

import contextlib
import gc
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from store_parts import added, finish, new

from mcp_scheduler.core.task import Kind, Terms
from mcp_scheduler.ports import TaskQuery
from mcp_scheduler.store.reads import Reads
from mcp_scheduler.store.sqlite import SqliteStore
from mcp_scheduler.store.terms import SELECT_TERMS

pytestmark = pytest.mark.anyio


def terms(target: str) -> Terms:
    return Terms(Kind.FUNCTION, target, "env", "agent")


async def test_terms_that_are_forgotten_while_others_are_read_are_there_all_the_same(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [terms("kept")]
    await store.commit(added(new("a", terms=kept[0]), new("b", terms=terms("gone"))))
    gc.collect()  # of the second nobody knows any more
    original = Reads._rows

    async def rows(self: Reads, statement: Any, **values: Any) -> Sequence[Any]:
        if statement is SELECT_TERMS:
            kept.clear()
            gc.collect()
        return await original(self, statement, **values)

    monkeypatch.setattr(Reads, "_rows", rows)
    found = await store.find(TaskQuery(limit=10))
    assert not kept
    assert {task.terms.target for task in found} == {"kept", "gone"}


def targets(path: Path) -> set[str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return {target for (target,) in connection.execute("SELECT body ->> '$.target' FROM terms")}


async def ended_tasks(store: SqliteStore, count: int) -> None:
    """Each with terms of its own, which nobody keeps."""
    await store.commit(added(*(new(f"t{i}", terms=terms(f"f{i}")) for i in range(count))))
    for i in range(count):
        await finish(store, f"t{i}", at=30.0 + i)
    gc.collect()


async def test_terms_leave_the_database_with_their_tasks_once_they_are_some(store: SqliteStore, path: Path) -> None:
    await ended_tasks(store, 150)
    await store.prune(ended_before=0.0, keep=100, limit=50)
    assert len(targets(path)) == 150
    await store.prune(ended_before=0.0, keep=10)
    assert targets(path) == {f"f{i}" for i in range(140, 150)}


async def test_terms_that_another_task_has_or_somebody_holds_stay(store: SqliteStore, path: Path) -> None:
    held = terms("f0")
    await store.commit(added(new("holding", terms=held), new("waiting", terms=terms("f1"))))
    await ended_tasks(store, 150)
    await finish(store, "holding", at=30.0)
    await store.prune(ended_before=1000.0, keep=0)
    assert targets(path) == {"f0", "f1", "f149"}
    await store.commit(added(new("again", terms=held)))
    assert {task.id: task.terms.target for task in await store.find(TaskQuery(limit=10))} == {
        "again": "f0",
        "waiting": "f1",
    }


async def test_who_still_knows_terms_that_have_left_does_not_take_new_ones_for_them(store: SqliteStore) -> None:
    await ended_tasks(store, 150)
    known = await store.find(TaskQuery(limit=1000))
    await store.prune(ended_before=1000.0, keep=0)
    await store.commit(added(*(new(f"n{i}", terms=terms(f"g{i}")) for i in range(200)), new("old", terms=terms("f7"))))
    gc.collect()
    found = await store.find(TaskQuery(limit=1000))
    assert {task.terms.target for task in known} == {f"f{i}" for i in range(150)}
    assert {task.id: task.terms.target for task in found} == {"old": "f7"} | {f"n{i}": f"g{i}" for i in range(200)}


async def test_a_list_that_is_read_while_tasks_leave_with_their_terms_tells_of_the_others(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ended_tasks(store, 150)
    original = Reads._rows
    pruned: list[str] = []

    async def rows(self: Reads, statement: Any, **values: Any) -> Sequence[Any]:
        if statement is SELECT_TERMS and not pruned:
            pruned.extend((await store.prune(ended_before=0.0, keep=2)).tasks)
        return await original(self, statement, **values)

    monkeypatch.setattr(Reads, "_rows", rows)
    found = await store.find(TaskQuery(limit=1000))
    assert len(pruned) == 148
    assert {task.id for task in found} == {"t148", "t149"}


async def test_terms_that_left_while_they_were_read_come_again_with_their_next_task(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ended_tasks(store, 150)
    original = Reads._rows

    async def rows(self: Reads, statement: Any, **values: Any) -> Sequence[Any]:
        found = await original(self, statement, **values)
        if statement is SELECT_TERMS:
            await store.prune(ended_before=0.0, keep=0)
        return found

    monkeypatch.setattr(Reads, "_rows", rows)
    known = await store.find(TaskQuery(limit=1000))
    assert {task.terms.target for task in known} == {f"f{i}" for i in range(150)}
    assert targets(path) == {"f149"}
    await store.commit(added(new("again", terms=terms("f7"))))
    assert targets(path) == {"f149", "f7"}
