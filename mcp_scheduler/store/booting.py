"""What an engine starts from: everything unfinished, and what has attempts under way."""

from __future__ import annotations

from contextlib import closing

from sqlalchemy import Connection, case, func, select, update
from sqlalchemy.dialects import sqlite

from mcp_scheduler.collection import no_collection
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Attempt
from mcp_scheduler.core.task import Task
from mcp_scheduler.ports import Boot
from mcp_scheduler.store.rows import TASK_COLUMNS, TaskReader, names_from
from mcp_scheduler.store.schema import attempts, meta, remembered, tasks
from mcp_scheduler.store.terms import TermsBook
from mcp_scheduler.store.transaction import raw

_UNFINISHED = select(*TASK_COLUMNS).where(tasks.c.ended_at.is_(None)).order_by(tasks.c.seq)
_BEATEN = (  # ended, while copies of them were not gone yet
    select(*TASK_COLUMNS)
    .where(tasks.c.seq.in_(select(attempts.c.task).where(attempts.c.ended_at.is_(None))))
    .where(tasks.c.ended_at.is_not(None))
    .order_by(tasks.c.seq)
)
_OPEN = (
    select(tasks.c.id, attempts.c.number, attempts.c.slot, attempts.c.node, attempts.c.started_at, attempts.c.devices)
    .join_from(attempts, tasks, tasks.c.seq == attempts.c.task)
    .where(attempts.c.ended_at.is_(None))
    .order_by(attempts.c.task, attempts.c.number)
)
_AT_ONCE = 10_000


def boot(connection: Connection, book: TermsBook, *, clean: bool) -> Boot:
    reader = TaskReader(book.read(connection))
    found: list[Task] = []
    with no_collection():
        # Straight from the driver: rows of SQLAlchemy would take as long as the tasks themselves.
        text = str(_UNFINISHED.compile(dialect=sqlite.dialect()))
        with closing(raw(connection).execute(text)) as cursor:
            while rows := cursor.fetchmany(_AT_ONCE):
                found.extend(reader.task(row) for row in rows)
        found.extend(reader.task(row) for row in connection.execute(_BEATEN).all())
    under_way = [
        Attempt(AttemptId(task, number), slot, node, at, names_from(devices))
        for task, number, slot, node, at, devices in connection.execute(_OPEN).all()
    ]
    return Boot(tasks=found, attempts=under_way, next_seq=next_seq(connection), clean=clean)


def next_seq(connection: Connection) -> int:
    """Above all there are, and all that were pruned."""
    remembered_seq = connection.execute(select(meta.c.value).where(meta.c.name == "next_seq")).scalar_one()
    newest = connection.execute(select(func.max(tasks.c.seq))).scalar_one_or_none() or 0
    return max(int(remembered_seq), int(newest) + 1)


def remember_seq(connection: Connection) -> None:
    """Before the newest rows are deleted: an arrival number is never given twice."""
    higher = select(func.coalesce(func.max(tasks.c.seq), 0) + 1).scalar_subquery()
    value = case((meta.c.value > higher, meta.c.value), else_=higher)
    connection.execute(update(meta).where(meta.c.name == "next_seq").values(value=value))


def newest_time(connection: Connection, found: Boot) -> float:
    """The newest time that the store knows of."""
    told = connection.execute(select(func.max(remembered.c.at))).scalar_one_or_none() or 0.0
    ended = connection.execute(
        select(func.max(tasks.c.ended_at)).where(tasks.c.ended_at.is_not(None))
    ).scalar_one_or_none()
    return max([told, ended or 0.0, *(task.status.at for task in found.tasks)])
