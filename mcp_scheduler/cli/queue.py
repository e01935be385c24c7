"""The queue as a whole: pause it, and let it (or single held tasks) go on."""

from __future__ import annotations

from typing import Annotated

import typer

from mcp_scheduler.cli import options, out
from mcp_scheduler.cli.changes import change
from mcp_scheduler.cli.connect import engine
from mcp_scheduler.cli.failures import SUCCESS
from mcp_scheduler.cli.text import Json, plural


def pause(as_json: options.AsJson = False, home: options.Home = None) -> int:
    """Start nothing new until `resume`, over restarts too.

    What runs goes on; submissions are taken, and wait.
    """
    return _set("pause", as_json, home)


def resume(
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]",
            help="Held tasks or groups; without any, the paused queue.",
            autocompletion=options.complete_task,
        ),
    ] = None,
    as_json: options.AsJson = False,
    home: options.Home = None,
) -> int:
    """Let the paused queue go on, or held tasks."""
    if ids:
        return change("update", {"ids": ids, "action": "resume"}, "resumed", as_json, home)
    return _set("resume", as_json, home)


def _set(method: str, as_json: bool, home: options.Home) -> int:
    with engine(home) as client:
        queue: Json = client.call(method, {})
    if as_json:
        out.as_json(queue)
    elif queue.get("paused"):
        out.aside(
            f"Paused: {plural(queue['queued'], 'task')} that could run will wait for `mcp-scheduler resume`; "
            f"{queue['running']} running."
        )
    else:
        out.aside(f"The queue goes on: {queue['queued']} queued, {queue['running']} running.")
    return SUCCESS
