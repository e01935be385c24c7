"""Numbered migrations: `MIGRATIONS[n - 1]` leads from version n - 1 to n. A published one is never edited.

All that are missing run in one exclusive transaction, after a backup beside the file (`<file>.v<old version>`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from mcp_scheduler.errors import NewerSchema
from mcp_scheduler.sdk.durable import sync_file, sync_folder
from mcp_scheduler.store.schema import APPLICATION_ID
from mcp_scheduler.store.transaction import transaction

_FIRST: Final = (
    """
    CREATE TABLE terms (
        id INTEGER NOT NULL,
        digest BLOB NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY (id),
        UNIQUE (digest)
    ) STRICT
    """,
    """
    CREATE TABLE tasks (
        seq INTEGER NOT NULL,
        id TEXT NOT NULL,
        terms INTEGER NOT NULL,
        principal TEXT NOT NULL,
        name TEXT NOT NULL,
        group_id TEXT DEFAULT '' NOT NULL,
        "key" TEXT DEFAULT '' NOT NULL,
        digest TEXT DEFAULT '' NOT NULL,
        submitted_at REAL NOT NULL,
        start_after REAL DEFAULT 0 NOT NULL,
        deadline REAL,
        "after" TEXT,
        tags TEXT,
        state TEXT NOT NULL,
        at REAL NOT NULL,
        number INTEGER DEFAULT 0 NOT NULL,
        failures INTEGER DEFAULT 0 NOT NULL,
        losses INTEGER DEFAULT 0 NOT NULL,
        crashes INTEGER DEFAULT 0 NOT NULL,
        due REAL DEFAULT 0 NOT NULL,
        held INTEGER DEFAULT 0 NOT NULL,
        cancel_requested INTEGER DEFAULT 0 NOT NULL,
        reason TEXT,
        error TEXT DEFAULT '' NOT NULL,
        priority INTEGER DEFAULT 0 NOT NULL,
        ended_at REAL,
        result_file TEXT DEFAULT '' NOT NULL,
        result_size INTEGER DEFAULT 0 NOT NULL,
        result BLOB,
        PRIMARY KEY (seq)
    ) STRICT
    """,
    'CREATE INDEX tasks_depending ON tasks (seq) WHERE ended_at IS NULL AND "after" IS NOT NULL',
    "CREATE INDEX tasks_finished ON tasks (ended_at) WHERE ended_at IS NOT NULL",
    "CREATE INDEX tasks_group ON tasks (group_id) WHERE group_id != ''",
    "CREATE UNIQUE INDEX tasks_id ON tasks (id)",
    'CREATE UNIQUE INDEX tasks_key ON tasks (principal, "key") WHERE "key" != \'\'',
    "CREATE INDEX tasks_result_file ON tasks (result_file) WHERE result_file != ''",
    "CREATE INDEX tasks_unfinished ON tasks (seq) WHERE ended_at IS NULL",
    """
    CREATE TABLE payloads (
        task INTEGER NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (task)
    ) STRICT
    """,
    """
    CREATE TABLE task_tags (
        tag TEXT NOT NULL,
        task INTEGER NOT NULL,
        PRIMARY KEY (tag, task)
    ) WITHOUT ROWID, STRICT
    """,
    """
    CREATE TABLE attempts (
        task INTEGER NOT NULL,
        number INTEGER NOT NULL,
        slot TEXT NOT NULL,
        node TEXT NOT NULL,
        devices TEXT,
        started_at REAL NOT NULL,
        ended_at REAL,
        reason TEXT,
        error TEXT DEFAULT '' NOT NULL,
        exit_code INTEGER,
        signal INTEGER,
        seconds REAL DEFAULT 0 NOT NULL,
        memory_peak INTEGER DEFAULT 0 NOT NULL,
        stdout_bytes INTEGER DEFAULT 0 NOT NULL,
        stderr_bytes INTEGER DEFAULT 0 NOT NULL,
        fingerprint TEXT DEFAULT '' NOT NULL,
        returned INTEGER DEFAULT 0 NOT NULL,
        PRIMARY KEY (task, number)
    ) WITHOUT ROWID, STRICT
    """,
    "CREATE INDEX attempts_open ON attempts (task, number) WHERE ended_at IS NULL",
    """
    CREATE TABLE groups (
        id TEXT NOT NULL,
        name TEXT NOT NULL,
        kind TEXT NOT NULL,
        principal TEXT NOT NULL,
        size INTEGER NOT NULL,
        submitted_at REAL NOT NULL,
        PRIMARY KEY (id)
    ) STRICT
    """,
    """
    CREATE TABLE remembered (
        door TEXT NOT NULL,
        request TEXT NOT NULL,
        verb TEXT NOT NULL,
        tasks TEXT NOT NULL,
        at REAL NOT NULL,
        PRIMARY KEY (door, request)
    ) WITHOUT ROWID, STRICT
    """,
    "CREATE INDEX remembered_at ON remembered (at)",
    """
    CREATE TABLE settings (
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (name)
    ) STRICT
    """,
    """
    CREATE TABLE meta (
        name TEXT NOT NULL,
        value INTEGER NOT NULL,
        PRIMARY KEY (name)
    ) STRICT
    """,
    "INSERT INTO meta (name, value) VALUES ('clean', 1), ('next_seq', 1)",
)

_SECOND: Final = (
    "ALTER TABLE tasks ADD COLUMN extras TEXT",
    "ALTER TABLE tasks ADD COLUMN size INTEGER DEFAULT 0 NOT NULL",
    "ALTER TABLE tasks ADD COLUMN memory_retries INTEGER DEFAULT 0 NOT NULL",
    "ALTER TABLE attempts ADD COLUMN device_peak INTEGER DEFAULT 0 NOT NULL",
    """
    CREATE TABLE forecasts (
        "key" TEXT NOT NULL,
        body TEXT NOT NULL,
        PRIMARY KEY ("key")
    ) STRICT
    """,
)

_THIRD: Final = (
    "ALTER TABLE groups ADD COLUMN items INTEGER DEFAULT 0 NOT NULL",
    "ALTER TABLE groups ADD COLUMN chunk INTEGER DEFAULT 0 NOT NULL",
)

_FOURTH: Final = ("CREATE INDEX tasks_digest ON tasks (digest) WHERE digest != ''",)

_FIFTH: Final = (
    "ALTER TABLE groups ADD COLUMN stages INTEGER DEFAULT 1 NOT NULL",
    "ALTER TABLE groups ADD COLUMN folds INTEGER DEFAULT 0 NOT NULL",
)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (_FIRST, _SECOND, _THIRD, _FOURTH, _FIFTH)


def version_of(connection: Connection) -> int:
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())


def refuse_newer(connection: Connection, path: Path) -> None:
    version, newest = version_of(connection), len(MIGRATIONS)
    if version > newest:
        raise NewerSchema(
            f"The database {path} has schema version {version}; this mcp-scheduler knows versions up to {newest}."
        )


def migrate(connection: Connection, path: Path) -> None:
    """Brings the database to the newest version. Nothing changes if a step fails."""
    version, newest = version_of(connection), len(MIGRATIONS)
    if version == newest:
        return
    if version > 0:
        _back_up(connection, path.with_name(f"{path.name}.v{version}"))
    with transaction(connection, "EXCLUSIVE"):
        for steps in MIGRATIONS[version:]:
            for step in steps:
                connection.exec_driver_sql(step)
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.exec_driver_sql(f"PRAGMA user_version = {newest}")


def _back_up(connection: Connection, target: Path) -> None:
    """A copy that is whole or not there: an interrupted one keeps its `.part` name and is written anew."""
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    connection.exec_driver_sql("VACUUM INTO ?", (str(part),))
    sync_file(part)  # SQLite leaves that to us
    part.replace(target)
    sync_folder(target.parent)
