"""Old files open, newer ones are refused, and a migration that fails changes nothing."""

# ruff: noqa: ASYNC240 - nothing else runs on the loop of a test

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import inspect

from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.errors import NewerSchema, SchedulerError
from mcp_scheduler.store import migrations
from mcp_scheduler.store.migrations import MIGRATIONS
from mcp_scheduler.store.opening import open_database
from mcp_scheduler.store.schema import TABLES
from mcp_scheduler.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio
NEWEST = len(MIGRATIONS)


def old_file(path: Path, version: int) -> None:
    """As the engine of that version left it: `v<version>.sql` is the dump of such a file."""
    driver = sqlite3.connect(path)
    driver.executescript(Path(__file__).with_name(f"v{version}.sql").read_text())
    driver.close()


async def test_a_file_of_version_1_opens_with_all_it_holds(path: Path) -> None:
    old_file(path, 1)
    store = SqliteStore(path)
    boot = await store.open()
    running, waiting = boot.tasks
    assert (running.id, running.status.state, running.status.number) == ("train-22222223", State.RUNNING, 1)
    assert (waiting.after, waiting.tags, waiting.deadline) == (("train-22222223",), ("nightly", "gpu"), 2000.0)
    assert waiting.terms.needs.gpus == 2
    assert [attempt.id.task for attempt in boot.attempts] == ["train-22222223"]
    assert (boot.next_seq, boot.clean) == (6, True)
    over = (await store.tasks(["report-22222225"]))["report-22222225"]
    assert (over.status.state, over.status.reason, over.status.error) == (State.FAILED, Reason.ERROR, "boom")
    assert (await store.results(["count-22222224"]))["count-22222224"].inline == b'{"lines":7}'
    assert await store.payloads([waiting.id]) == {waiting.id: b'{"function":"m.f"}'}
    assert await store.setting("environment:env") == "{}"
    assert (await store.by_key("agent", "once")) is not None
    await store.close()


async def test_the_migrations_lead_to_the_tables_that_the_code_describes(path: Path) -> None:
    connection, _ = open_database(path)
    found = inspect(connection)
    assert set(found.get_table_names()) == set(TABLES.tables)
    for name, table in TABLES.tables.items():
        columns = {column["name"]: column for column in found.get_columns(name)}
        assert list(columns) == [column.name for column in table.columns]
        for column in table.columns:
            there = columns[column.name]
            assert str(there["type"]) == str(column.type.compile(connection.dialect))
            assert there["nullable"] == column.nullable
        indexes = {str(index["name"]): list(index["column_names"]) for index in found.get_indexes(name)}
        assert indexes == {str(index.name): [column.name for column in index.columns] for index in table.indexes}
    connection.close()


async def test_a_newer_file_is_refused_and_left_as_it_is(path: Path) -> None:
    store = SqliteStore(path)
    await store.open()
    await store.close()
    driver = sqlite3.connect(path)
    driver.execute(f"PRAGMA user_version = {NEWEST + 1}")
    driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    driver.close()
    before = path.read_bytes()
    with pytest.raises(NewerSchema, match=str(NEWEST + 1)) as caught:
        await SqliteStore(path).open()
    assert caught.value.code == "new_schema"
    assert path.read_bytes() == before


async def test_a_migration_keeps_a_backup_of_what_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old_file(path, 1)
    monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, ("ALTER TABLE groups ADD COLUMN extra TEXT",)))
    store = SqliteStore(path)
    assert len((await store.open()).tasks) == 2
    await store.close()
    backup = sqlite3.connect(path.with_name(f"{path.name}.v1"))
    assert backup.execute("PRAGMA user_version").fetchone() == (1,)
    assert backup.execute("SELECT count(*) FROM tasks").fetchone() == (4,)
    backup.close()


async def test_a_migration_that_fails_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old_file(path, 1)
    steps = ("ALTER TABLE groups ADD COLUMN extra TEXT", "DROP TABLE no_such_table")
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, steps))
        with pytest.raises(SchedulerError):
            await SqliteStore(path).open()
    store = SqliteStore(path)
    assert len((await store.open()).tasks) == 2
    await store.close()


async def test_a_start_that_was_broken_off_is_begun_anew(path: Path) -> None:
    path.with_name(f"{path.name}.new").write_bytes(b"half a database")
    store = SqliteStore(path)
    assert (await store.open()).clean
    await store.close()
    assert not path.with_name(f"{path.name}.new").exists()
