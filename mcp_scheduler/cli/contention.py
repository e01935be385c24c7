"""contention: which named things tasks wait for, and for how long."""

from __future__ import annotations

from mcp_scheduler.cli import options, out, tables
from mcp_scheduler.cli.connect import engine
from mcp_scheduler.cli.tables import Column
from mcp_scheduler.cli.text import Json, duration


def contention(as_json: options.AsJson = False, home: options.Home = None) -> None:
    """Show which shared things tasks wait for.

    Names in `reads` and `writes`, since the engine started.
    """
    with engine(home) as client:
        found = client.call("load", {}).get("contention", [])
    if as_json:
        out.as_json(found)
        return
    if not found:
        out.aside("No task has waited for a named thing since the engine started.")
        return
    columns = (
        Column("THING"), Column("WAITING", right=True), Column("WAITS", right=True), Column("MEAN", right=True),
        Column("LONGEST", right=True), Column("GIVEN UP", right=True),
    )  # fmt: skip
    tables.show(columns, [_row(thing) for thing in found])


def _row(thing: Json) -> tuple[str, ...]:
    waits = thing.get("waits", 0)
    return (
        thing["name"], str(thing.get("waiting", 0)), str(waits), duration(thing["mean"]) if waits else "",
        duration(thing["longest"]) if waits else "", f"{100 * thing.get('given_up', 0):.0f} %" if waits else "",
    )  # fmt: skip
