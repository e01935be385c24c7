"""Changing tasks: cancel, hold, retry, priority."""

from __future__ import annotations

from typing import Annotated

import typer

from mcp_scheduler.cli import options, out
from mcp_scheduler.cli.connect import engine
from mcp_scheduler.cli.failures import INVALID, SUCCESS
from mcp_scheduler.cli.text import Json, note, one_line, plural


def cancel(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Ids of tasks or groups.", autocompletion=options.complete_task),
    ] = None,
    tag: Annotated[
        str | None, typer.Option("--tag", metavar="TEXT", help="All tasks with this tag, instead of ids.")
    ] = None,
    as_json: options.AsJson = False,
    home: options.Home = None,
) -> int:
    """Cancel tasks or groups.

    What runs is stopped with all its processes.
    """
    asked: Json = ({"ids": ids} if ids else {}) | ({"tag": tag} if tag is not None else {})
    return change("cancel", asked, "cancelled", as_json, home)


def hold(ids: options.TaskIds, as_json: options.AsJson = False, home: options.Home = None) -> int:
    """Hold waiting tasks back until they are resumed."""
    return change("update", {"ids": ids, "action": "hold"}, "held", as_json, home)


def retry(ids: options.TaskIds, as_json: options.AsJson = False, home: options.Home = None) -> int:
    """Run tasks again that failed, were cancelled or skipped."""
    return change("update", {"ids": ids, "action": "retry"}, "queued again", as_json, home)


def priority(
    value: Annotated[
        int, typer.Argument(metavar="PRIORITY", min=-100, max=100, help="-100 (last) to 100 (first); tasks have 0.")
    ],
    ids: options.TaskIds,
    as_json: options.AsJson = False,
    home: options.Home = None,
) -> int:
    """Give waiting tasks another priority. A negative one: `priority -- -5 ID`."""
    asked: Json = {"ids": ids, "action": "set_priority", "value": value}
    return change("update", asked, f"at priority {value}", as_json, home)


def change(method: str, asked: Json, done: str, as_json: bool, home: options.Home) -> int:
    """Ask for a change and tell what came of it; 2 if nothing at all was changed."""
    with engine(home) as client:
        answer = client.call(method, asked)
    changed: list[Json] = answer.get("changed", [])
    unchanged: dict[str, str] = answer.get("unchanged", {})
    count: int = answer.get("count", len(changed))
    if as_json:
        out.as_json(answer)
    else:
        for task in changed:
            out.line(f"{task['id']} {'cancel requested' if task.get('cancel_requested') else _state(task)}")
        if count > len(changed):
            out.aside(f"{plural(count, 'task')} {done}; the first {len(changed)} are shown.")
        for id, reason in unchanged.items():  # noqa: A001 - the word of every request
            out.aside(f"{id} unchanged: {one_line(reason)}")
        if not count and not unchanged:
            out.aside("No task has that tag.")
    return SUCCESS if count or not unchanged else INVALID


def _state(task: Json) -> str:
    """Where it stands now; of one that was skipped at once again also why."""
    return f"{task['state']}: {note(task)}" if task["state"] == "skipped" else str(task["state"])
