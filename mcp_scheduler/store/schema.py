"""The tables, as the newest migration leaves them. `migrations` creates them; a test holds the two together.

- `tasks.seq` is the arrival number and the row's key: rows of one time lie together.
- `terms` are stored once each; a task names their row.
- The payload has a table of its own: SQLite writes a whole row anew at each change of status.
- `forecasts` is what was learnt of run times and memory, by `forecast.book`'s own keys, and what is counted beside the
  tasks, by those of `runtime.accounts`: written now and then.
- `extras` is what few tasks ask for, as a JSON object of what differs from the defaults, or NULL.
- A result follows the status of its task; `ended_at` is set in final states only.
- Names of other tasks (`after`) and `tags` are JSON lists, or NULL for none; `task_tags` finds tasks by tag.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import INTEGER, REAL, TEXT, Column, Index, LargeBinary, MetaData, Table, UniqueConstraint, text
from sqlalchemy.types import TypeEngine

APPLICATION_ID: Final = 0x4D435053  # "MCPS": tells this database from any other SQLite file
TABLES: Final = MetaData()


def _plain(name: str, kind: type[TypeEngine[Any]], default: str | None = None) -> Column[Any]:
    return Column(name, kind, nullable=False, server_default=None if default is None else text(default))


terms = Table(
    "terms",
    TABLES,
    Column("id", INTEGER, primary_key=True),
    _plain("digest", LargeBinary),
    _plain("body", TEXT),
    UniqueConstraint("digest"),
    sqlite_strict=True,
)

tasks = Table(
    "tasks",
    TABLES,
    Column("seq", INTEGER, primary_key=True),
    _plain("id", TEXT),
    _plain("terms", INTEGER),
    _plain("principal", TEXT),
    _plain("name", TEXT),
    _plain("group_id", TEXT, "''"),
    _plain("key", TEXT, "''"),
    _plain("digest", TEXT, "''"),
    _plain("submitted_at", REAL),
    _plain("start_after", REAL, "0"),
    Column("deadline", REAL),
    Column("after", TEXT),
    Column("tags", TEXT),
    _plain("state", TEXT),
    _plain("at", REAL),
    _plain("number", INTEGER, "0"),
    _plain("failures", INTEGER, "0"),
    _plain("losses", INTEGER, "0"),
    _plain("crashes", INTEGER, "0"),
    _plain("due", REAL, "0"),
    _plain("held", INTEGER, "0"),
    _plain("cancel_requested", INTEGER, "0"),
    Column("reason", TEXT),
    _plain("error", TEXT, "''"),
    _plain("priority", INTEGER, "0"),
    Column("ended_at", REAL),
    _plain("result_file", TEXT, "''"),
    _plain("result_size", INTEGER, "0"),
    Column("result", LargeBinary),
    Column("extras", TEXT),
    _plain("size", INTEGER, "0"),
    _plain("memory_retries", INTEGER, "0"),
    sqlite_strict=True,
)
Index("tasks_id", tasks.c.id, unique=True)
Index("tasks_key", tasks.c.principal, tasks.c.key, unique=True, sqlite_where=tasks.c.key != "")
Index("tasks_digest", tasks.c.digest, sqlite_where=tasks.c.digest != "")
Index("tasks_group", tasks.c.group_id, sqlite_where=tasks.c.group_id != "")
Index("tasks_unfinished", tasks.c.seq, sqlite_where=tasks.c.ended_at.is_(None))
Index("tasks_depending", tasks.c.seq, sqlite_where=tasks.c.ended_at.is_(None) & tasks.c.after.is_not(None))
Index("tasks_finished", tasks.c.ended_at, sqlite_where=tasks.c.ended_at.is_not(None))
Index("tasks_result_file", tasks.c.result_file, sqlite_where=tasks.c.result_file != "")

payloads = Table(
    "payloads",
    TABLES,
    Column("task", INTEGER, primary_key=True),
    _plain("body", LargeBinary),
    sqlite_strict=True,
)

task_tags = Table(
    "task_tags",
    TABLES,
    Column("tag", TEXT, primary_key=True, nullable=False),
    Column("task", INTEGER, primary_key=True, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

attempts = Table(
    "attempts",
    TABLES,
    Column("task", INTEGER, primary_key=True, nullable=False),
    Column("number", INTEGER, primary_key=True, nullable=False),
    _plain("slot", TEXT),
    _plain("node", TEXT),
    Column("devices", TEXT),
    _plain("started_at", REAL),
    Column("ended_at", REAL),
    Column("reason", TEXT),
    _plain("error", TEXT, "''"),
    Column("exit_code", INTEGER),
    Column("signal", INTEGER),
    _plain("seconds", REAL, "0"),
    _plain("memory_peak", INTEGER, "0"),
    _plain("stdout_bytes", INTEGER, "0"),
    _plain("stderr_bytes", INTEGER, "0"),
    _plain("fingerprint", TEXT, "''"),
    _plain("returned", INTEGER, "0"),
    _plain("device_peak", INTEGER, "0"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
Index("attempts_open", attempts.c.task, attempts.c.number, sqlite_where=attempts.c.ended_at.is_(None))

groups = Table(
    "groups",
    TABLES,
    Column("id", TEXT, primary_key=True, nullable=False),
    _plain("name", TEXT),
    _plain("kind", TEXT),
    _plain("principal", TEXT),
    _plain("size", INTEGER),
    _plain("submitted_at", REAL),
    _plain("items", INTEGER, "0"),
    _plain("chunk", INTEGER, "0"),
    _plain("stages", INTEGER, "1"),
    _plain("folds", INTEGER, "0"),
    sqlite_strict=True,
)

remembered = Table(
    "remembered",
    TABLES,
    Column("door", TEXT, primary_key=True, nullable=False),
    Column("request", TEXT, primary_key=True, nullable=False),
    _plain("verb", TEXT),
    _plain("tasks", TEXT),
    _plain("at", REAL),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
Index("remembered_at", remembered.c.at)

settings = Table(
    "settings",
    TABLES,
    Column("name", TEXT, primary_key=True, nullable=False),
    _plain("value", TEXT),
    sqlite_strict=True,
)

forecasts = Table(
    "forecasts",
    TABLES,
    Column("key", TEXT, primary_key=True, nullable=False),
    _plain("body", TEXT),
    sqlite_strict=True,
)

meta = Table(
    "meta",
    TABLES,
    Column("name", TEXT, primary_key=True, nullable=False),
    _plain("value", INTEGER),
    sqlite_strict=True,
)
