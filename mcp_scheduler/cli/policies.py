"""The order of the waiting tasks: which policy decides, and why a task stands where it stands."""

from __future__ import annotations

from typing import Annotated

import typer

from mcp_scheduler.cli import options, out, tables
from mcp_scheduler.cli.connect import engine
from mcp_scheduler.cli.tables import Column
from mcp_scheduler.cli.text import Json, for_people, one_line


def policy(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The policy from now on; `settings` for that of the settings.")
    ] = None,
    as_json: options.AsJson = False,
    home: options.Home = None,
) -> None:
    """Show or choose the order of waiting tasks.

    The choice holds until another one is made, over restarts too.
    """
    asked: Json = {} if name is None else {"name": "" if name == "settings" else name}
    with engine(home) as client:
        found = client.call("policy", asked)
    if as_json:
        out.as_json(found)
        return
    out.line(f"{found['name']}, chosen by {found['chosen_by']}")
    if found.get("note"):
        out.line(one_line(found["note"]))
    if name is None:
        out.line()
        tables.show((Column("POLICY"), Column("ORDER", cut=True)), list(found["choices"].items()))


def explain(
    id: Annotated[str, typer.Argument(metavar="ID", help="The id of a task.", autocompletion=options.complete_task)],  # noqa: A002 - the word of every verb
    as_json: options.AsJson = False,
    home: options.Home = None,
) -> None:
    """Explain why a task stands where it does.

    Its rank term by term, what goes before it, its reservation, and where it would run.
    """
    with engine(home) as client:
        found = client.call("explain", {"id": id})
    if as_json:
        out.as_json(found)
        return
    out.line(f"{found['id']} is {found['state']}; policy {found['policy']}")
    if found.get("why"):
        out.line(f"why: {one_line(for_people(found['why']))}")
    for line in found.get("lines", ()):
        out.line(one_line(line))
