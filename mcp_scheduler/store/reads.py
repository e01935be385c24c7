"""Reads: each is one statement on a read-only connection of its own, and sees the last commit; no read waits for the
writer, none keeps a transaction open."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, ColumnElement, Executable, and_, bindparam, event, func, literal_column, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from mcp_scheduler.core.events import Group, Origin
from mcp_scheduler.core.states import FINAL, State
from mcp_scheduler.core.task import Task, Terms
from mcp_scheduler.ports import AttemptRow, Remembered, Result, TaskQuery
from mcp_scheduler.store.opening import SAFE_PRAGMAS
from mcp_scheduler.store.rows import (
    ATTEMPT_COLUMNS,
    STATE_TEXT,
    STATES,
    TASK_COLUMNS,
    TaskReader,
    attempt_from,
    names_from,
    terms_from,
)
from mcp_scheduler.store.schema import attempts, forecasts, groups, payloads, remembered, settings, task_tags, tasks
from mcp_scheduler.store.terms import SELECT_TERMS, TermsBook
from mcp_scheduler.store.thread import to_the_end
from mcp_scheduler.store.transaction import meaning

CONNECTIONS: Final = 2

_IDS: Final = select(func.json_each(bindparam("ids")).table_valued("value").c.value)
_TASKS: Final = select(*TASK_COLUMNS)
_TASKS_BY_ID: Final = _TASKS.where(tasks.c.id.in_(_IDS))
_PAYLOADS: Final = (
    select(tasks.c.id, payloads.c.body)
    .join_from(tasks, payloads, payloads.c.task == tasks.c.seq)
    .where(tasks.c.id.in_(_IDS))
)
_RESULTS: Final = select(tasks.c.id, tasks.c.result, tasks.c.result_file, tasks.c.result_size).where(
    tasks.c.id.in_(_IDS)
)
_NAMED: Final = select(tasks.c.result_file).where(
    tasks.c.result_file != literal_column("''"), tasks.c.result_file.in_(_IDS)
)
_ATTEMPTS: Final = (
    select(tasks.c.id, *ATTEMPT_COLUMNS)
    .join_from(attempts, tasks, tasks.c.seq == attempts.c.task)
    .where(tasks.c.id.in_(_IDS))
    .order_by(attempts.c.task, attempts.c.number)
)
# Of several copies the one that came first, which need not be the last that was started.
SUCCESS: Final = and_(attempts.c.reason.is_(None), attempts.c.ended_at.is_not(None), attempts.c.returned == 0)
_EQUAL: Final = (
    select(tasks.c.digest, tasks.c.id, attempts.c.fingerprint)
    .join_from(tasks, attempts, and_(attempts.c.task == tasks.c.seq, SUCCESS))
    .where(
        tasks.c.digest.in_(_IDS), tasks.c.digest != literal_column("''"), tasks.c.state == STATE_TEXT[State.SUCCEEDED]
    )
    .order_by(tasks.c.seq)
)
_COUNTS: Final = select(tasks.c.state, func.count()).group_by(tasks.c.state)
_GROUP: Final = select(
    groups.c.id,
    groups.c.name,
    groups.c.kind,
    groups.c.principal,
    groups.c.size,
    groups.c.submitted_at,
    groups.c["items"],
    groups.c.chunk,
    groups.c.stages,
    groups.c.folds,
).where(groups.c.id == bindparam("group"))
_MEMBERS: Final = _TASKS.where(tasks.c.group_id == bindparam("group"), tasks.c.group_id != "").order_by(tasks.c.seq)
_BY_KEY: Final = _TASKS.where(
    tasks.c.principal == bindparam("principal"), tasks.c.key == bindparam("name"), tasks.c.key != ""
)
_REMEMBERED: Final = select(remembered.c.verb, remembered.c.tasks).where(
    remembered.c.door == bindparam("door"), remembered.c.request == bindparam("request")
)
_FORECASTS: Final = select(forecasts.c.key, forecasts.c.body)
_SETTING: Final = select(settings.c.value).where(settings.c.name == bindparam("name"))


class Reads:
    def __init__(self, path: Path, book: TermsBook) -> None:
        self._path = path
        self._book = book
        self._engine = _engine(path)
        self._turn = asyncio.Semaphore(CONNECTIONS)

    async def tasks(self, ids: Sequence[str]) -> dict[str, Task]:
        found = {task.id: task for task in await self._tasks(_TASKS_BY_ID, ids=json.dumps(list(ids)))}
        return {name: found[name] for name in ids if name in found}

    async def payloads(self, ids: Sequence[str]) -> dict[str, bytes]:
        return dict(await self._rows(_PAYLOADS, ids=json.dumps(list(ids))))

    async def results(self, ids: Sequence[str]) -> dict[str, Result]:
        rows = await self._rows(_RESULTS, ids=json.dumps(list(ids)))
        return {name: Result(inline, file, size) for name, inline, file, size in rows}

    async def named_results(self, files: Sequence[str]) -> set[str]:
        return {file for (file,) in await self._rows(_NAMED, ids=json.dumps(list(files)))}

    async def attempts(self, ids: Sequence[str]) -> dict[str, list[AttemptRow]]:
        found: dict[str, list[AttemptRow]] = {}
        for name, *row in await self._rows(_ATTEMPTS, ids=json.dumps(list(ids))):
            found.setdefault(name, []).append(attempt_from(name, row))
        return found

    async def find(self, query: TaskQuery) -> list[Task]:
        return await self._tasks(_search(query))

    async def counts(self) -> dict[State, int]:
        return {STATES[state]: count for state, count in await self._rows(_COUNTS)}

    async def group(self, group: str) -> Group | None:
        rows = await self._rows(_GROUP, group=group)
        return Group(*rows[0]) if rows else None

    async def members(self, group: str) -> list[Task]:
        return await self._tasks(_MEMBERS, group=group)

    async def by_key(self, principal: str, key: str) -> Task | None:
        found = await self._tasks(_BY_KEY, principal=principal, name=key)
        return found[0] if found else None

    async def equal(self, fingerprints: Mapping[str, str]) -> dict[str, str]:
        rows = await self._rows(_EQUAL, ids=json.dumps(list(fingerprints)))
        return {digest: name for digest, name, fingerprint in rows if fingerprint == fingerprints[digest]}

    async def remembered(self, origin: Origin) -> Remembered | None:
        rows = await self._rows(_REMEMBERED, door=origin.door, request=origin.request)
        return Remembered(origin, rows[0][0], names_from(rows[0][1])) if rows else None

    async def setting(self, name: str) -> str | None:
        rows = await self._rows(_SETTING, name=name)
        return rows[0][0] if rows else None

    async def forecasts(self) -> dict[str, str]:
        return dict(await self._rows(_FORECASTS))

    async def close(self) -> None:
        await to_the_end(asyncio.ensure_future(self._engine.dispose()))

    async def _tasks(self, statement: Executable, **values: Any) -> list[Task]:
        rows, known = await self._with_terms(statement, values)
        if any(row.terms not in known for row in rows):  # forgotten between the two reads, and their terms with them
            rows, known = await self._with_terms(statement, values)
        reader = TaskReader(known)
        return [reader.task(row) for row in rows]

    async def _with_terms(
        self, statement: Executable, values: dict[str, Any]
    ) -> tuple[Sequence[Any], dict[int, Terms]]:
        rows = await self._rows(statement, **values)
        known = self._book.known(row.terms for row in rows)
        missing = sorted({row.terms for row in rows} - known.keys())
        if missing:
            found = await self._rows(SELECT_TERMS, ids=json.dumps(missing))
            known |= self._book.share((row, terms_from(body)) for row, body in found)
        return rows, known

    async def _rows(self, statement: Executable, **values: Any) -> Sequence[Any]:
        """Who is cancelled while waiting for a turn leaves at once, or a flood of requests that were taken back would
        keep all others waiting. A read that has begun is never broken off: its driver would lose the connection."""
        async with self._turn:
            return await to_the_end(asyncio.ensure_future(self._read(statement, values)))

    async def _read(self, statement: Executable, values: dict[str, Any]) -> Sequence[Any]:
        try:
            async with self._engine.connect() as connection:
                return (await connection.execute(statement, values)).all()
        except DBAPIError as error:
            raise meaning(error, self._path) from error


def _engine(path: Path) -> AsyncEngine:
    file = path.resolve().as_uri()
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=file, query={"mode": "ro", "uri": "true"}),
        poolclass=AsyncAdaptedQueuePool,
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_reset_on_return=None,
        isolation_level="AUTOCOMMIT",
    )

    def prepare(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        for pragma in (*SAFE_PRAGMAS, "query_only = ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine.sync_engine, "connect", prepare)
    return engine


def _search(query: TaskQuery) -> Executable:
    seq: ColumnElement[int] = tasks.c.seq
    statement = _TASKS
    if query.tag:
        seq = task_tags.c.task  # walks the tag's own tasks, newest first
        statement = statement.join_from(task_tags, tasks, tasks.c.seq == seq).where(task_tags.c.tag == query.tag)
    if query.states:
        statement = statement.where(tasks.c.state.in_([STATE_TEXT[state] for state in query.states]))
        if query.states.isdisjoint(FINAL):
            statement = statement.where(tasks.c.ended_at.is_(None))
    if query.principal:
        statement = statement.where(tasks.c.principal == query.principal)
    if query.group:
        statement = statement.where(tasks.c.group_id == query.group, tasks.c.group_id != "")
    if query.name:
        wanted = func.lower(query.name)
        statement = statement.where(
            (func.instr(func.lower(tasks.c.name), wanted) > 0) | (func.instr(func.lower(tasks.c.id), wanted) > 0)
        )
    if query.before_seq is not None:
        statement = statement.where(seq < query.before_seq)
    return statement.order_by(seq.desc()).limit(query.limit)
