"""A full disk, an I/O error, a damaged or foreign file: clear words, and nothing lost."""

# ruff: noqa: ASYNC221, ASYNC240 - nothing else runs on the loop of a test

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from store_parts import added, new

from mcp_scheduler.core.states import State
from mcp_scheduler.errors import StoreDamaged, StoreUnavailable
from mcp_scheduler.store.sqlite import SqliteStore
from mcp_scheduler.store.transaction import raw

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[3]


async def pragma(store: SqliteStore, text: str) -> None:
    opened = store._writer._open
    assert opened is not None
    assert store._thread is not None
    await store._thread.run(lambda: raw(opened[0]).execute(f"PRAGMA {text}").fetchall())


async def test_a_full_database_refuses_and_goes_on_when_there_is_room(store: SqliteStore) -> None:
    await store.commit(added(new("before")))
    await pragma(store, "max_page_count = 1")  # as small as it is now
    with pytest.raises(StoreUnavailable, match="full"):
        await store.commit(added(*(new(f"t{i}", payload=b"x" * 5000) for i in range(50))))
    assert await store.counts() == {State.QUEUED: 1}
    await pragma(store, "max_page_count = 1000000")
    await store.commit(added(new("after")))
    assert await store.counts() == {State.QUEUED: 2}


WRITER_AT_THE_LIMIT = """
import asyncio, resource, signal, sys
sys.path.insert(0, sys.argv[2])
from store_parts import added, new
from mcp_scheduler.errors import StoreUnavailable
from mcp_scheduler.store.sqlite import SqliteStore

async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store = SqliteStore(sys.argv[1])
    await store.open()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512 * 1024, hard))
    acknowledged = refused = 0
    for turn in range(60):
        try:
            await store.commit(added(*(new(f"t{turn}-{i}", payload=b"x" * 4000) for i in range(5))))
            acknowledged += 1
        except StoreUnavailable:
            refused += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await store.commit(added(new("after")))
    await store.close()
    print(acknowledged, refused)

asyncio.run(main())
"""


async def test_writes_that_fail_in_the_middle_lose_nothing_and_are_no_end(path: Path) -> None:
    parts = Path(sys.modules["store_parts"].__file__ or "").parent
    done = subprocess.run(
        [sys.executable, "-c", WRITER_AT_THE_LIMIT, str(path), str(parts)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    acknowledged, refused = map(int, done.stdout.split())
    assert acknowledged > 0
    assert refused > 0
    store = SqliteStore(path)
    boot = await store.open()
    await store.close()
    assert boot.clean
    assert len(boot.tasks) == acknowledged * 5 + 1
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 512 * 1024


async def closed_store(path: Path, *, clean: bool = True) -> None:
    store = SqliteStore(path)
    await store.open()
    await store.commit(added(*(new(f"t{i}", payload=b"x" * 3000) for i in range(200))))
    await store.close()
    if not clean:
        other = sqlite3.connect(path)
        other.execute("UPDATE meta SET value = 0 WHERE name = 'clean'")
        other.commit()
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        other.close()


async def refused(path: Path) -> StoreDamaged:
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(StoreDamaged, match=path.name) as caught:
        await SqliteStore(path).open()
    assert (path.read_bytes() if path.exists() else None) == before
    assert "aside" in str(caught.value)
    return caught.value


async def test_a_file_of_junk_is_refused(path: Path) -> None:
    path.write_bytes(os.urandom(20_000))
    await refused(path)


async def test_an_empty_file_is_refused(path: Path) -> None:
    path.touch()
    await refused(path)


async def test_a_database_of_somebody_else_is_refused(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE notes (text TEXT)")
    other.commit()
    other.close()
    await refused(path)


async def test_a_log_without_its_database_is_refused(path: Path) -> None:
    path.with_name(f"{path.name}-wal").write_bytes(b"x" * 4096)
    await refused(path)


async def test_a_file_that_was_cut_off_is_refused_after_a_crash(path: Path) -> None:
    await closed_store(path, clean=False)
    os.truncate(path, path.stat().st_size // 2)
    await refused(path)


@pytest.mark.parametrize("page", [2, 5, 9])
async def test_a_page_that_was_overwritten_is_found_after_a_crash(path: Path, page: int) -> None:
    await closed_store(path, clean=False)
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xa5" * 4096)
    await refused(path)
