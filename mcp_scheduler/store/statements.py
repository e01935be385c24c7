"""The statements of a commit. The guards stand here, in SQL: a row that may not change is not counted as changed."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import CTE, ColumnElement, Select, Table, and_, case, insert, literal_column, null, or_, select, update

from mcp_scheduler.core.states import FINAL, State
from mcp_scheduler.store.block import Block
from mcp_scheduler.store.schema import attempts, groups, payloads, remembered, task_tags, tasks

ZERO: Final[ColumnElement[Any]] = literal_column("0")
ONE: Final[ColumnElement[Any]] = literal_column("1")
EMPTY: Final[ColumnElement[Any]] = literal_column("''")


def _quoted(states: frozenset[State]) -> ColumnElement[Any]:
    return literal_column("(" + ", ".join(f"'{state.value}'" for state in sorted(states)) + ")")


def _ended_at(v: CTE) -> ColumnElement[Any]:
    return case((v.c.state.op("IN")(_quoted(FINAL)), v.c.at), else_=null())


def _insert(table: Table, columns: str) -> Block:
    """Every column as it comes; what is not named takes the table's default."""
    names = columns.split()

    def build(v: CTE) -> Any:
        return insert(table).from_select(names, select(v).where(v.c[names[0]].is_not(None)), include_defaults=False)

    return Block(columns, build)


def _insert_tasks(columns: str) -> Block:
    names = columns.split()

    def build(v: CTE) -> Any:
        rows: Select[Any] = select(*v.c, _ended_at(v)).where(v.c.seq.is_not(None))
        return insert(tasks).from_select([*names, "ended_at"], rows, include_defaults=False)

    return Block(columns, build)


def _may_change(v: CTE) -> ColumnElement[bool]:
    """A task that succeeded is never changed. One that ended otherwise can be retried: it leaves its state, as it
    stands at the end of the batch, without having succeeded, and runs under a higher number only. The number never
    falls."""
    succeeded: ColumnElement[str] = literal_column(f"'{State.SUCCEEDED.value}'")
    running: ColumnElement[str] = literal_column(f"'{State.RUNNING.value}'")
    return and_(
        tasks.c.id == v.c.id,
        tasks.c.number <= v.c.number,
        or_(
            tasks.c.ended_at.is_(None),
            and_(
                tasks.c.state != succeeded,
                v.c.state != succeeded,
                or_(v.c.state != running, tasks.c.number < v.c.number),
            ),
        ),
    )


# What is written where a column of the status or of the result is not among the values: as a fresh Status has it.
_FRESH: Final[dict[str, ColumnElement[Any]]] = {
    "failures": ZERO,
    "losses": ZERO,
    "crashes": ZERO,
    "due": ZERO,
    "held": ZERO,
    "cancel_requested": ZERO,
    "reason": null(),
    "error": EMPTY,
    "memory_retries": ZERO,
    "result": null(),
    "result_file": EMPTY,
    "result_size": ZERO,
}


def _update_status(columns: str) -> Block:
    names = columns.split()

    def build(v: CTE) -> Any:
        given: dict[str, Any] = {name: v.c[name] for name in names if name != "id"}
        return update(tasks).values({**_FRESH, **given, "ended_at": _ended_at(v)}).where(_may_change(v))

    return Block(columns, build)


def _start_attempts() -> Block:
    def build(v: CTE) -> Any:
        rows = select(tasks.c.seq, v.c.number, v.c.slot, v.c.node, v.c.devices, v.c.started_at)
        rows = rows.join_from(v, tasks, tasks.c.id == v.c.id)
        names = ["task", "number", "slot", "node", "devices", "started_at"]
        return insert(attempts).from_select(names, rows, include_defaults=False)

    return Block("id number slot node devices started_at", build)


def _open_attempt(v: CTE) -> ColumnElement[bool]:
    """The row that a report may close: of this task, of this number, and not closed before."""
    return and_(
        tasks.c.id == v.c.id,
        attempts.c.task == tasks.c.seq,
        attempts.c.number == v.c.number,
        attempts.c.ended_at.is_(None),
    )


def _end_attempts(columns: str, **constants: ColumnElement[Any]) -> Block:
    names = columns.split()[2:]

    def build(v: CTE) -> Any:
        given: dict[str, Any] = {name: v.c[name] for name in names}
        return update(attempts).values({**given, **constants}).where(_open_attempt(v))

    return Block(columns, build)


def _set_of_task(name: str) -> Block:
    """One column of a task, whatever its state."""

    def build(v: CTE) -> Any:
        return update(tasks).values({name: v.c[name]}).where(tasks.c.id == v.c.id)

    return Block(f"id {name}", build)


def _copy_results() -> Block:
    """The result of another task that has succeeded."""

    def build(v: CTE) -> Any:
        source = tasks.alias("source")
        given = {name: source.c[name] for name in ("result", "result_file", "result_size")}
        is_there = and_(source.c.id == v.c.source, source.c.state == literal_column(f"'{State.SUCCEEDED.value}'"))
        return update(tasks).values(given).where(tasks.c.id == v.c.id, is_there)

    return Block("id source", build)


def _copy_payloads() -> Block:
    """The payload of another task, without its way through the program."""

    def build(v: CTE) -> Any:
        rows = select(v.c.task, payloads.c.body)
        rows = rows.join_from(v, tasks, tasks.c.id == v.c.source).join(payloads, payloads.c.task == tasks.c.seq)
        return insert(payloads).from_select(["task", "body"], rows, include_defaults=False)

    return Block("task source", build)


INSERT_GROUPS: Final = _insert(groups, "id name kind principal size submitted_at items chunk stages folds")
INSERT_PAYLOADS: Final = _insert(payloads, "task body")
COPY_PAYLOADS: Final = _copy_payloads()
COPY_RESULTS: Final = _copy_results()
INSERT_TAGS: Final = _insert(task_tags, "tag task")
INSERT_REMEMBERED: Final = _insert(remembered, "door request verb tasks at")

# Most tasks have nothing in most columns, and each value bound costs 0.1 to 0.2 µs: the usual case has its own shape.
INSERT_PLAIN_TASKS: Final = _insert_tasks(
    "seq id terms principal name group_id submitted_at state at number priority size",
)
INSERT_TASKS: Final = _insert_tasks(
    "seq id terms principal name group_id submitted_at state at number priority size"
    " key digest start_after deadline after tags extras"
    " failures losses crashes due held cancel_requested reason error memory_retries",
)
UPDATE_PLAIN_STATUS: Final = _update_status("id state at number priority")
UPDATE_PLAIN_STATUS_RESULT: Final = _update_status("id state at number priority result result_file result_size")
UPDATE_STATUS: Final = _update_status(
    "id state at number priority result result_file result_size"
    " failures losses crashes due held cancel_requested reason error memory_retries",
)
UPDATE_EXTRAS: Final = _set_of_task("extras")
UPDATE_DEADLINES: Final = _set_of_task("deadline")
UPDATE_TERMS: Final = _set_of_task("terms")

INSERT_ATTEMPTS: Final = _start_attempts()
END_PLAIN_ATTEMPTS: Final = _end_attempts("id number ended_at seconds memory_peak fingerprint")
END_ATTEMPTS: Final = _end_attempts(
    "id number ended_at reason error exit_code signal seconds memory_peak stdout_bytes stderr_bytes fingerprint"
    " device_peak",
)
RETURN_ATTEMPTS: Final = _end_attempts("id number ended_at", returned=ONE)
