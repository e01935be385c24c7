"""The files: who may read them, how long the log grows, what a statement has to look at."""

# ruff: noqa: ASYNC240 - nothing else runs on the loop of a test

from __future__ import annotations

import contextlib
import re
import sqlite3
import stat
from pathlib import Path

import anyio
import pytest
from store_parts import added, finish, new

from mcp_scheduler.store import statements
from mcp_scheduler.store.block import Block
from mcp_scheduler.store.opening import WAL_LIMIT, open_database
from mcp_scheduler.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio
OF_VALUES = re.compile(r"SCAN (v|CONSTANT ROW|\d+ CONSTANT ROWS|\d+-ROW VALUES CLAUSE)")


def log_size(path: Path) -> int:
    return path.with_name(f"{path.name}-wal").stat().st_size


async def test_nobody_else_can_read_the_files(store: SqliteStore, path: Path) -> None:
    await store.commit(added(new("a")))
    files = [file for file in path.parent.iterdir() if file.is_file()]
    assert len(files) == 3
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


async def test_the_log_stays_short_under_steady_load(store: SqliteStore, path: Path) -> None:
    longest = 0
    for turn in range(60):
        await store.commit(added(*(new(f"t{turn}-{i}", payload=b"x" * 1000) for i in range(500))))
        longest = max(longest, log_size(path))
    assert 0 < longest <= WAL_LIMIT


async def test_a_checkpoint_in_idle_times_empties_the_log(store: SqliteStore, path: Path) -> None:
    await store.commit(added(*(new(f"t{i}") for i in range(500))))
    assert log_size(path) > 0
    await store.checkpoint()
    assert log_size(path) == 0


async def test_forgotten_tasks_give_their_space_back(store: SqliteStore, path: Path) -> None:
    await store.commit(added(*(new(f"t{i}", payload=b"x" * 20_000) for i in range(100))))
    for i in range(100):
        await finish(store, f"t{i}")
    await store.checkpoint()
    full = path.stat().st_size
    await store.prune(ended_before=1000.0, keep=0)
    await store.checkpoint()
    assert path.stat().st_size < full / 2


async def many_ended(store: SqliteStore, count: int) -> None:
    names = [f"t{i}" for i in range(count)]
    await store.commit(added(*(new(name, payload=b"x" * 20_000) for name in names)))
    for name in names:
        await finish(store, name)


async def test_the_log_does_not_grow_with_what_is_forgotten(store: SqliteStore, path: Path) -> None:
    await many_ended(store, 200)
    await store.checkpoint()
    sizes: list[int] = []
    while (await store.prune(ended_before=1000.0, keep=0, limit=10)).tasks:
        sizes.append(log_size(path))
    assert len(sizes) == 20
    assert sizes[-1] <= 2 * sizes[0]


async def test_all_the_space_of_many_forgotten_tasks_is_given_back_unless_a_reader_keeps_the_log(
    store: SqliteStore, path: Path
) -> None:
    await many_ended(store, 400)
    await store.checkpoint()
    full = path.stat().st_size
    await store.prune(ended_before=1000.0, keep=0, limit=400)
    with contextlib.closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM tasks").fetchone()
        await store.checkpoint()
        assert 0 < log_size(path) <= WAL_LIMIT
    await store.checkpoint()
    assert log_size(path) == 0
    assert path.stat().st_size < full / 10


async def test_a_file_that_cannot_give_pages_back_is_not_asked_again_and_again(store: SqliteStore, path: Path) -> None:
    await many_ended(store, 20)
    await store.close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as another:
        another.execute("PRAGMA auto_vacuum = NONE")
        another.execute("VACUUM")
    again = SqliteStore(path)
    await again.open()
    await again.prune(ended_before=1000.0, keep=0)
    with anyio.fail_after(30):
        await again.checkpoint()
    await again.close()
    with contextlib.closing(sqlite3.connect(path)) as another:
        assert another.execute("PRAGMA freelist_count").fetchone()[0] > 0


def blocks() -> dict[str, Block]:
    return {name: value for name, value in vars(statements).items() if isinstance(value, Block)}


@pytest.mark.parametrize("block", blocks().values(), ids=blocks().keys())
def test_no_statement_of_a_commit_scans_a_table(block: Block, path: Path) -> None:
    connection, _ = open_database(path)
    for text in block.texts.values():
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", (None,) * text.count("?")).all()
        steps = [str(row[3]) for row in plan]
        scans = [step for step in steps if step.startswith("SCAN") and not OF_VALUES.fullmatch(step)]
        assert not scans, steps
        assert not any("AUTOMATIC" in step for step in steps), steps
    connection.close()
