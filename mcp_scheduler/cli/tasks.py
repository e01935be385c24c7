"""Reading tasks: list, show, result."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import typer

from mcp_scheduler.cli import options, out, tables
from mcp_scheduler.cli.completion import complete_state, complete_task
from mcp_scheduler.cli.connect import engine
from mcp_scheduler.cli.failures import SUCCESS, TASK_FAILED, complain
from mcp_scheduler.cli.tables import Column, Table
from mcp_scheduler.cli.text import (
    FINAL,
    Json,
    age,
    clock,
    counted,
    duration,
    eta,
    for_people,
    note,
    one_line,
    plural,
    printable,
    size,
    took,
)
from mcp_scheduler.errors import Conflict

_PAGE = 200


def list_tasks(
    *,
    states: Annotated[
        list[str] | None,
        typer.Option("--state", metavar="STATE", help="Only these states. Repeatable.", autocompletion=complete_state),
    ] = None,
    group: Annotated[str | None, typer.Option("--group", metavar="ID", help="Only tasks of this group.")] = None,
    tag: Annotated[str | None, typer.Option("--tag", metavar="TEXT", help="Only tasks with this tag.")] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="TEXT", help="Only tasks whose name or id contains this.")
    ] = None,
    mine: Annotated[bool, typer.Option("--mine", help="Only tasks of the same principal (see --as).")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, help="At most so many.")] = 20,
    as_json: options.AsJson = False,
    home: options.Home = None,
    principal: options.As = "",
) -> None:
    """List tasks, newest first."""
    asked = {"states": states or [], "group": group, "tag": tag, "name": name, "mine": mine}
    asked = {field: value for field, value in asked.items() if value}
    found: list[Json] = []
    cursor = ""
    counts: dict[str, int] = {}
    with engine(home, principal=principal) as client:
        while len(found) < limit:
            page = client.call(
                "list", asked | {"limit": min(_PAGE, limit - len(found))} | ({"cursor": cursor} if cursor else {})
            )
            found += page.get("tasks", [])
            cursor, counts = page.get("cursor", ""), page.get("counts", {})
            if not cursor:
                break
    if as_json:
        out.as_json({"tasks": found, "cursor": cursor, "counts": counts})
        return
    if not found:
        out.aside("No tasks." if not asked else "No such tasks.")
        return
    show_tasks(found)
    if out.on_terminal():
        out.line()
        out.line(counted(counts) + (f" · more: --limit {limit * 5}" if cursor else ""))


def show_tasks(found: list[Json]) -> None:
    """Print a table of tasks."""
    task_table(found).show()


def task_table(found: list[Json]) -> Table:
    """A table of tasks."""
    now = time.time()  # noqa: TID251 - a person's clock: outside the engine
    columns = (
        Column("ID"), Column("STATE"), Column("CALL", cut=True), Column("AGE", right=True), Column("TIME", right=True),
        Column("DONE IN", right=True, cut=True), Column("NOTE", cut=True),
    )  # fmt: skip
    rows = [
        (
            task["id"],
            task["state"],
            _call(task),
            age(now - task["submitted_at"]),
            took(task, now),
            eta(task),
            note(task),
        )
        for task in found
    ]
    return Table(columns, rows)


def _call(task: Json) -> str:
    """What the task runs, without the two words that nearly every task has."""
    return one_line(task["call"]).removeprefix("function ").removeprefix("command ")


def show_task(
    id: Annotated[  # noqa: A002 - the word of every request
        str, typer.Argument(metavar="ID", help="Id of a task or a group.", autocompletion=complete_task)
    ],
    as_json: options.AsJson = False,
    home: options.Home = None,
) -> None:
    """Show one task with its attempts, or one group."""
    with engine(home) as client:
        found = client.call("get", {"id": id, "detail": True})
    if as_json:
        out.as_json(found)
    elif "counts" in found or "size" in found:
        _show_group(found)
    else:
        _show_task(found)


def result(
    id: options.TaskId,  # noqa: A002 - as above
    raw: Annotated[bool, typer.Option("--raw", help="A result that is a text: without quotes.")] = False,
    as_json: options.AsJson = False,
    home: options.Home = None,
) -> int:
    """Print the whole result of a task as JSON. Exit code 1 if it failed."""
    with engine(home) as client:
        try:
            found = client.call("result", {"id": id})
        except Conflict:
            task = client.call("get", {"id": id})
            if task["state"] not in FINAL:
                raise
            complain(f"{id} {task['state']}: {note(task)}".rstrip(": "), task.get("hint", ""))
            return TASK_FAILED
    if raw and not as_json and isinstance(found, str):
        out.line(found)
    else:
        out.as_json(found)
    return SUCCESS


def _show_task(task: Json) -> None:
    now = time.time()  # noqa: TID251 - as above
    facts: list[tuple[str, Any]] = [
        ("id", task["id"]),
        ("state", task["state"] + (" (cancel requested)" if task.get("cancel_requested") else "")),
        ("call", one_line(task["call"])),
        ("arguments" if task["call"].startswith("function ") else "command", one_line(task.get("given", ""))),
        ("folder", task.get("cwd")),
        ("name", task.get("name")),
        ("group", task.get("group")),
        ("tags", ", ".join(task.get("tags", ()))),
        ("principal", task.get("principal")),
        ("priority", task.get("priority") or ""),
        ("after", ", ".join(task.get("after", ()))),
        ("submitted", clock(task["submitted_at"])),
        ("due", clock(task.get("due"))),
        ("deadline", clock(task.get("deadline"))),
        ("started", clock(task.get("started_at"))),
        ("ended", clock(task.get("ended_at"))),
        ("time", took(task, now)),
        ("done in", eta(task)),
        ("progress", _progress(task)),
        ("why", one_line(for_people(task.get("why", "")))),
        ("reason", task.get("reason")),
        ("error", task.get("error", "").rstrip()),
        ("hint", one_line(for_people(task.get("hint", "")))),
        *((name, task.get(name)) for name in ("undo", "undoes", "rollback")),
        ("result of", task.get("cached_from")),
        ("result", _result(task)),
        ("decision", "\n".join(task.get("decision", ()))),
    ]
    _show_facts(facts)
    attempts = task.get("attempts", [])
    if attempts:
        out.line()
        _show_attempts(attempts, now)


def _progress(task: Json) -> str:
    share = task.get("progress")
    parts = ["" if share is None else f"{share * 100:.0f} %", one_line(task.get("progress_text", ""))]
    return " ".join(part for part in parts if part)


def _result(task: Json) -> str:
    if "result" in task:
        return one_line(_compact(task["result"]))
    if task.get("has_result"):
        return f"{size(task.get('result_size', 0))}: mcp-scheduler result {task['id']}"
    return ""


def _compact(value: Any) -> str:

    return json.dumps(value, ensure_ascii=False)


def _show_attempts(attempts: list[Json], now: float) -> None:
    columns = (
        Column("#", right=True), Column("NODE"), Column("STARTED"), Column("TIME", right=True), Column("ENDED"),
        Column("MEMORY", right=True), Column("OUTPUT", right=True), Column("DEVICES", cut=True),
    )  # fmt: skip
    rows = [
        (
            str(attempt["number"]),
            attempt.get("node", ""),
            clock(attempt["started_at"]),
            duration(attempt.get("seconds") or (attempt.get("ended_at") or now) - attempt["started_at"]),
            _ending(attempt),
            size(attempt["memory_peak"]) if attempt.get("memory_peak") else "",
            size(attempt.get("stdout_bytes", 0) + attempt.get("stderr_bytes", 0)),
            ", ".join(attempt.get("devices", ())),
        )
        for attempt in attempts
    ]
    tables.show(columns, rows)


def _ending(attempt: Json) -> str:
    if attempt.get("ended_at") is None:
        return "running"
    if attempt.get("returned"):
        return "handed back"
    if attempt.get("signal") is not None:
        return f"{attempt.get('reason') or ''} signal {attempt['signal']}".strip()
    if attempt.get("exit_code"):
        return f"{attempt.get('reason') or ''} exit code {attempt['exit_code']}".strip()
    return attempt.get("reason") or "succeeded"


def _show_group(group: Json) -> None:
    _show_facts(
        [
            ("id", group["id"]),
            ("kind", group.get("kind")),
            ("name", group.get("name")),
            ("state", group["state"]),
            ("why", one_line(for_people(group.get("why", "")))),
            ("hint", one_line(for_people(group.get("hint", "")))),
            ("tasks", f"{group['size']}: {counted(group.get('counts', {}))}"),
            ("done in", eta(group)),
            ("principal", group.get("principal")),
            ("submitted", clock(group["submitted_at"])),
        ]
    )
    members = group.get("tasks") or group.get("failures", [])
    if not members:
        return
    out.line()
    if not group.get("tasks"):
        out.line(f"The first {plural(len(members), 'failure')}:")
    show_tasks(members)


def _show_facts(facts: list[tuple[str, Any]]) -> None:
    kept = [(name, str(value)) for name, value in facts if value not in (None, "")]
    width = max(len(name) for name, _ in kept)
    for name, value in kept:
        first, *others = value.splitlines()
        out.hanging(f"{name:<{width}}  ", printable(first))
        for other in others:
            out.line(" " * (width + 2) + printable(other))
