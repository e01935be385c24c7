"""Forgets finished tasks, a batch at a time, within a transaction that the caller holds.

A finished task stays while an unfinished one names it in `after` (its state and result are still wanted), and while an
attempt of it is open (its process may still be there).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Executable,
    Row,
    Select,
    Table,
    bindparam,
    delete,
    func,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.sqlite import insert

from mcp_scheduler.core.states import State
from mcp_scheduler.ports import Pruned
from mcp_scheduler.store.block import Block
from mcp_scheduler.store.booting import remember_seq
from mcp_scheduler.store.rows import names_from
from mcp_scheduler.store.schema import attempts, groups, payloads, remembered, settings, task_tags, tasks
from mcp_scheduler.store.terms import TermsBook

NOTE: Final = "pruned"  # among the settings: what was removed, until its files are, too
REPEATED_WITHIN: Final = 600.0  # seconds: a relay that has found a new engine sends again what was not answered
_ITEMS: Final[Select[Any]] = select(func.json_each(bindparam("items")).table_valued("value").c.value)
_FINISHED: Final = tasks.c.ended_at.is_not(None)
_NEWEST_FIRST: Final = (tasks.c.ended_at.desc(), tasks.c.seq.desc())


def _delete(table: Table, key: str) -> Delete:
    return delete(table).where(table.c[key].in_(_ITEMS))


_DELETES: Final = (_delete(payloads, "task"), _delete(attempts, "task"), _delete(tasks, "seq"))


def _untag() -> Block:
    def build(v: Any) -> Delete:
        return delete(task_tags).where(tuple_(task_tags.c.tag, task_tags.c.task).in_(select(v.c.tag, v.c.task)))

    return Block("tag task", build)


_UNTAG: Final = _untag()


def prune(connection: Connection, book: TermsBook, *, ended_before: float, keep: int, limit: int) -> Pruned:
    removed = connection.execute(_candidates(connection, ended_before, keep, limit)).all()
    if removed:
        remember_seq(connection)
        rows = json.dumps([row.seq for row in removed])
        for statement in _DELETES:
            connection.execute(statement, {"items": rows})
        _UNTAG.run(connection, [(tag, row.seq) for row in removed for tag in dict.fromkeys(names_from(row.tags))])
        _delete_empty_groups(connection, {row.group_id for row in removed if row.group_id})
        book.let_go(connection, {row.terms for row in removed})
    _forget(connection, ended_before, keep, 2 * limit)
    pruned = Pruned(
        tasks=tuple(row.id for row in removed),
        result_files=_orphans(connection, removed),
        states=tuple(State(row.state) for row in removed),
    )
    if removed:
        _note(connection, pruned)
    return pruned


def noted(text: str | None) -> Pruned:
    """What was removed and whose files may still be there, as the note says that is kept under `NOTE`."""
    note = json.loads(text or "{}")
    return Pruned(tuple(note.get("tasks", ())), tuple(note.get("files", ())))


def _note(connection: Connection, pruned: Pruned) -> None:
    """In the transaction that removes the rows: from then on nothing else knows of the files."""
    before = noted(connection.execute(select(settings.c.value).where(settings.c.name == NOTE)).scalar())
    note = {"tasks": before.tasks + pruned.tasks, "files": before.result_files + pruned.result_files}
    statement = insert(settings).values(name=NOTE, value=json.dumps(note))
    connection.execute(
        statement.on_conflict_do_update(index_elements=[settings.c.name], set_={"value": statement.excluded.value})
    )


def _candidates(connection: Connection, ended_before: float, keep: int, limit: int) -> Executable:
    """The oldest `limit` of those that are too old or too many."""
    too_many = select(tasks.c.ended_at, tasks.c.seq).where(_FINISHED).order_by(*_NEWEST_FIRST).limit(1).offset(keep)
    first = connection.execute(too_many).one_or_none()
    old: ColumnElement[bool] = tasks.c.ended_at < ended_before
    if first is not None:
        old = or_(old, tuple_(tasks.c.ended_at, tasks.c.seq) <= tuple_(*first))
    unfinished = select(tasks.c.after).where(tasks.c.ended_at.is_(None), tasks.c.after.is_not(None)).subquery()
    names = func.json_each(unfinished.c.after).table_valued("value")
    told = (tasks.c.seq, tasks.c.id, tasks.c.state, tasks.c.tags, tasks.c.group_id, tasks.c.result_file, tasks.c.terms)
    return (
        select(*told)
        .where(
            _FINISHED,
            old,
            tasks.c.id.not_in(select(names.c.value).select_from(unfinished).join(names, onclause=true())),
            tasks.c.seq.not_in(select(attempts.c.task).where(attempts.c.ended_at.is_(None))),
        )
        .order_by(tasks.c.ended_at, tasks.c.seq)
        .limit(limit)
    )


def _delete_empty_groups(connection: Connection, named: Iterable[str]) -> None:
    members = select(tasks.c.group_id).where(tasks.c.group_id != "", tasks.c.group_id == groups.c.id)
    empty = groups.c.id.in_(_ITEMS) & ~members.exists()
    connection.execute(delete(groups).where(empty), {"items": json.dumps(sorted(named))})


def _forget(connection: Connection, before: float, keep: int, limit: int) -> None:
    """Of the requests `keep` are remembered, as of the tasks; but the latest, by the newest of them, in any case."""
    newest_first = select(remembered.c.at).order_by(remembered.c.at.desc()).limit(1)
    newest, last_kept = (connection.execute(newest_first.offset(place)).scalar() for place in (0, keep))
    if newest is not None and last_kept is not None:
        before = max(before, min(last_kept, newest - REPEATED_WITHIN))
    keys = (remembered.c.door, remembered.c.request)
    old = select(*keys).where(remembered.c.at < before).order_by(remembered.c.at).limit(limit)
    connection.execute(delete(remembered).where(tuple_(*keys).in_(old)))


def _orphans(connection: Connection, removed: Sequence[Row[Any]]) -> tuple[str, ...]:
    """Result files of the removed that no remaining row names."""
    named = {row.result_file for row in removed if row.result_file}
    if not named:
        return ()
    query = select(tasks.c.result_file).where(tasks.c.result_file != "", tasks.c.result_file.in_(_ITEMS))
    kept = set(connection.execute(query, {"items": json.dumps(sorted(named))}).scalars())
    return tuple(sorted(named - kept))
