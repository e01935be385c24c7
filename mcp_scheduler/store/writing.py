"""One `Changes` into the tables, within a transaction that the caller holds.

Every statement that touches rows of before says how many it changed: another count than asked for means that the core
and the store disagree, and the whole transaction is refused.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from mcp_scheduler.core.changes import Changes
from mcp_scheduler.core.events import Ended, NewTask, Outcome
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.task import NO_EXTRAS, Status, Task, Terms
from mcp_scheduler.errors import InvariantBroken
from mcp_scheduler.store import statements
from mcp_scheduler.store.block import Block, Row
from mcp_scheduler.store.rows import REASON_TEXT, STATE_TEXT, extras_text, names_text, storable
from mcp_scheduler.store.schema import tasks
from mcp_scheduler.store.terms import TermsBook

_GROUP = attrgetter("id", "name", "kind", "principal", "size", "submitted_at", "items", "chunk", "stages", "folds")
_STORY = select(tasks.c.id, tasks.c.state, tasks.c.number).where(
    tasks.c.id.in_(select(func.json_each(bindparam("ids")).table_valued("value").c.value))
)


def write(connection: Connection, changes: Changes, book: TermsBook, latest: float) -> list[tuple[int, Terms]]:
    """Writes them all or raises. Returns the rows of terms that the book may learn once this is committed.

    `latest` is the newest time the store has seen: what has no time of its own is dated by it.
    """
    statements.INSERT_GROUPS.run(connection, [_GROUP(one) for one in changes.groups])
    learnt = _add(connection, changes.added, book)
    _start(connection, changes)
    _end(connection, changes, latest)
    _update(connection, changes)
    learnt += _claim(connection, changes, book)
    statements.INSERT_REMEMBERED.run(
        connection,
        [(one.origin.door, one.origin.request, one.verb, json.dumps(one.tasks), latest) for one in changes.remembered],
    )
    return learnt


def moment(changes: Changes, latest: float) -> float:
    """The newest time that is known once `changes` are: the store has no clock of its own."""
    return max(
        chain(
            (latest,),
            (new.task.submitted_at for new in changes.added),
            (status.at for status in changes.statuses.values()),
            (attempt.at for attempt in changes.started),
            (ended.at for ended in changes.ended),
        )
    )


def _add(connection: Connection, added: Sequence[NewTask], book: TermsBook) -> list[tuple[int, Terms]]:
    rows_of: dict[int, int] = {}  # by identity: hashing terms costs more than everything else here
    learnt: list[tuple[int, Terms]] = []
    plain: list[Row] = []
    full: list[Row] = []
    for new in added:
        task = new.task
        terms_row = rows_of.get(id(task.terms))
        if terms_row is None:
            terms_row = rows_of[id(task.terms)] = book.row(connection, task.terms)
            learnt.append((terms_row, task.terms))
        if _is_plain(task):
            plain.append(_plain_row(task, terms_row))
        else:
            full.append(_full_row(task, terms_row))
    statements.INSERT_PLAIN_TASKS.run(connection, plain)
    statements.INSERT_TASKS.run(connection, full)
    statements.INSERT_PAYLOADS.run(connection, [(new.task.seq, new.payload) for new in added if not new.like])
    _all(
        connection,
        statements.COPY_PAYLOADS,
        [(new.task.seq, new.like) for new in added if new.like],
        "A task was added like one that the store does not know.",
    )
    _all(
        connection,
        statements.COPY_RESULTS,
        [(new.task.id, new.result_of) for new in added if new.result_of],
        "A task was added with the result of one that the store does not know.",
    )
    statements.INSERT_TAGS.run(
        connection, [(tag, new.task.seq) for new in added if new.task.tags for tag in dict.fromkeys(new.task.tags)]
    )
    return learnt


def _is_plain(task: Task) -> bool:
    return not (
        task.key
        or task.after
        or task.tags
        or task.start_after
        or task.digest
        or task.deadline is not None
        or task.extras is not NO_EXTRAS
        or _has_history(task.status)
    )


def _has_history(status: Status) -> bool:
    """Something is there beyond state, time, number and priority."""
    return bool(
        status.failures
        or status.losses
        or status.crashes
        or status.due
        or status.held
        or status.cancel_requested
        or status.reason is not None
        or status.error
        or status.memory_retries
    )


def _history(status: Status) -> Row:
    return (
        status.failures,
        status.losses,
        status.crashes,
        status.due,
        int(status.held),
        int(status.cancel_requested),
        REASON_TEXT[status.reason],
        storable(status.error),
        status.memory_retries,
    )


def _plain_row(task: Task, terms_row: int) -> Row:
    status = task.status
    return (
        task.seq,
        task.id,
        terms_row,
        task.terms.principal,
        storable(task.name),
        task.group,
        task.submitted_at,
        STATE_TEXT[status.state],
        status.at,
        status.number,
        status.priority,
        task.size,
    )


def _full_row(task: Task, terms_row: int) -> Row:
    return (
        *_plain_row(task, terms_row),
        task.key,
        task.digest,
        task.start_after,
        task.deadline,
        names_text(task.after),
        names_text(task.tags),
        extras_text(task.extras),
        *_history(task.status),
    )


def _start(connection: Connection, changes: Changes) -> None:
    _all(
        connection,
        statements.INSERT_ATTEMPTS,
        [(one.id.task, one.id.number, one.slot, one.node, names_text(one.devices), one.at) for one in changes.started],
        "An attempt was started of a task that the store does not know.",
    )


def _end(connection: Connection, changes: Changes, latest: float) -> None:
    plain: list[Row] = []
    full: list[Row] = []
    for one in changes.ended:
        if _is_plain_end(one.outcome):
            plain.append(_plain_end_row(one))
        else:
            full.append(_end_row(one))
    _all(connection, statements.END_PLAIN_ATTEMPTS, plain, "An attempt was ended that is not open.")
    _all(connection, statements.END_ATTEMPTS, full, "An attempt was ended that is not open.")
    _all(
        connection,
        statements.RETURN_ATTEMPTS,
        [(*one, _time_of(one, changes, latest)) for one in changes.returned],
        "An attempt was returned that is not open.",
    )


def _is_plain_end(outcome: Outcome) -> bool:
    """A success of which nothing else is to be said: in the other columns an open attempt has what it would get."""
    return not (
        outcome.reason is not None
        or outcome.error
        or outcome.exit_code is not None
        or outcome.signal is not None
        or outcome.stdout_bytes
        or outcome.stderr_bytes
        or outcome.device_peak
    )


def _plain_end_row(ended: Ended) -> Row:
    outcome = ended.outcome
    return (
        ended.attempt.task,
        ended.attempt.number,
        ended.at,
        outcome.seconds,
        outcome.memory_peak,
        outcome.fingerprint,
    )


def _end_row(ended: Ended) -> Row:
    outcome = ended.outcome
    return (
        ended.attempt.task,
        ended.attempt.number,
        ended.at,
        REASON_TEXT[outcome.reason],
        storable(outcome.error),
        outcome.exit_code,
        outcome.signal,
        outcome.seconds,
        outcome.memory_peak,
        outcome.stdout_bytes,
        outcome.stderr_bytes,
        outcome.fingerprint,
        outcome.device_peak,
    )


def _time_of(attempt: AttemptId, changes: Changes, latest: float) -> float:
    status = changes.statuses.get(attempt.task)
    return latest if status is None else status.at


def results_of(changes: Changes) -> dict[str, Outcome]:
    """The outcomes that carry a result, by task: of several attempts of one task the one that succeeded."""
    found: dict[str, Outcome] = {}
    for one in changes.ended:
        outcome = one.outcome
        if outcome.result is None and not outcome.result_file:
            continue
        if outcome.reason is None or one.attempt.task not in found:
            found[one.attempt.task] = outcome
    return found


def _update(connection: Connection, changes: Changes) -> None:
    results = results_of(changes)
    plain: list[Row] = []
    plain_result: list[Row] = []
    full: list[Row] = []
    for task, status in changes.statuses.items():
        outcome = results.get(task)
        start = (task, STATE_TEXT[status.state], status.at, status.number, status.priority)
        if _has_history(status):
            full.append((*start, *_result(outcome), *_history(status)))
        elif outcome is None:
            plain.append(start)
        else:
            plain_result.append((*start, *_result(outcome)))
    changed = statements.UPDATE_PLAIN_STATUS.run(connection, plain)
    changed += statements.UPDATE_PLAIN_STATUS_RESULT.run(connection, plain_result)
    changed += statements.UPDATE_STATUS.run(connection, full)
    if changed != len(changes.statuses):
        raise InvariantBroken(
            f"{len(changes.statuses) - changed} of {len(changes.statuses)} status changes are not lawful."
            f" {_story(connection, changes.statuses)}"
        )
    _all(
        connection,
        statements.UPDATE_DEADLINES,
        list(changes.deadlines.items()),
        "A deadline was set of a task that the store does not know.",
    )
    _all(
        connection,
        statements.UPDATE_EXTRAS,
        [(task, extras_text(extras)) for task, extras in changes.extras.items()],
        "The extras of a task were changed that the store does not know.",
    )


def _claim(connection: Connection, changes: Changes, book: TermsBook) -> list[tuple[int, Terms]]:
    """Tasks that go on under other terms."""
    rows = {name: book.row(connection, terms) for name, terms in changes.terms.items()}
    _all(
        connection,
        statements.UPDATE_TERMS,
        list(rows.items()),
        "Other terms were given to a task that the store does not know.",
    )
    return [(rows[name], terms) for name, terms in changes.terms.items()]


def _result(outcome: Outcome | None) -> tuple[bytes | None, str, int]:
    if outcome is None:
        return None, "", 0
    size = outcome.result_size or len(outcome.result or b"")
    return outcome.result, outcome.result_file, size


def _all(connection: Connection, block: Block, rows: Sequence[Row], story: str) -> None:
    changed = block.run(connection, rows)
    if changed != len(rows):
        raise InvariantBroken(f"{story} {changed} of {len(rows)} rows were there: {', '.join(map(_name, rows[:5]))}.")


def _name(row: Row) -> str:
    return f"{row[0]}.{row[1]}"


def _story(connection: Connection, wanted: dict[str, Status]) -> str:
    """What the store knows of the first tasks whose rows are as they were before: for the one who looks for the bug."""
    known: dict[str, Any] = {one.id: one for one in connection.execute(_STORY, {"ids": json.dumps(list(wanted))}).all()}
    lines: list[str] = []
    for task, status in wanted.items():
        row = known.get(task)
        if row is None:
            lines.append(f"{task} is unknown")
        elif (row.state, row.number) != (status.state, status.number):
            lines.append(f"{task} is {row.state} after {row.number} attempts, not {status.state} ({status.number})")
    return "; ".join(lines[:5])
