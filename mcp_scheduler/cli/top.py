"""top: nodes, devices, the queue and what runs, in one live view."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mcp_scheduler.cli import arguments, options, out, tables
from mcp_scheduler.cli.connect import engine
from mcp_scheduler.cli.engine import device_table, node_table
from mcp_scheduler.cli.failures import INTERRUPTED, SUCCESS
from mcp_scheduler.cli.tables import Table
from mcp_scheduler.cli.tasks import task_table
from mcp_scheduler.cli.text import Json, counted, one_line
from mcp_scheduler.owner import OwnerClient

if TYPE_CHECKING:
    from rich.console import Group

_SHOWN: Final = 15  # tasks of each kind
_SHORTEST: Final = 0.1  # seconds between two looks
_WAITING: Final = ("queued", "retrying", "scheduled", "pending", "held")


def top(
    *,
    once: Annotated[bool, typer.Option("--once", help="Show it once, as it always is in a pipe.")] = False,
    interval: Annotated[str, typer.Option(metavar="TIME", help="Time between two looks.")] = "1s",
    as_json: options.AsJson = False,
    home: options.Home = None,
) -> int:
    """Watch nodes, devices, the queue and what runs.

    Ctrl-C ends it.
    """
    pause = max(_SHORTEST, arguments.seconds(interval, "--interval"))
    with engine(home) as client:
        if as_json:
            out.as_json(_look(client))
        elif once or not out.on_terminal():
            _print(_look(client))
        else:
            return _watch(client, pause)
    return SUCCESS


def _look(client: OwnerClient) -> Json:
    """What there is to see now."""
    load: Json = client.call("load", {})
    running = client.call("list", {"states": ["running", "rolling_back"], "limit": _SHOWN})
    waiting = client.call("list", {"states": list(_WAITING), "limit": _SHOWN})
    return load | {"running": running.get("tasks", []), "waiting": waiting.get("tasks", [])}


def _head(seen: Json) -> list[str]:
    """The lines above the tables."""
    lines = [f"tasks: {counted(seen.get('counts', {})) or 'none'}"]
    if seen.get("policy"):
        lines[0] += f" · policy {seen['policy']}"
    return [*lines, *(f"alert: {one_line(alert)}" for alert in seen.get("alerts", []))]


def _tables(seen: Json) -> list[tuple[str, Table]]:
    """A title and a table for each part that has anything to show."""
    nodes: list[Json] = seen.get("nodes", [])
    devices = [device for node in nodes for device in node.get("devices", [])]
    parts: Sequence[tuple[str, Table]] = (
        ("NODES", node_table(nodes)),
        ("DEVICES", device_table(devices)),
        ("RUNNING", task_table(seen["running"])),
        ("WAITING", task_table(seen["waiting"])),
    )
    return [(title, table) for title, table in parts if table.rows]


def _print(seen: Json) -> None:
    for line in _head(seen):
        out.line(line)
    for title, table in _tables(seen):
        out.line()
        out.line(title)
        tables.show(table.columns, table.rows)


def _watch(client: OwnerClient, pause: float) -> int:
    from rich.live import Live  # noqa: PLC0415 - only a terminal is worth it

    try:
        with Live(console=tables.console(), auto_refresh=False, screen=True) as live:
            while True:
                live.update(_picture(_look(client)), refresh=True)
                time.sleep(pause)
    except KeyboardInterrupt:
        return INTERRUPTED


def _picture(seen: Json) -> Group:
    from rich.console import Group  # noqa: PLC0415 - as in `_watch`

    parts: list[object] = [
        f"{time.strftime('%H:%M:%S')}  {line}" if not place else line for place, line in enumerate(_head(seen))
    ]
    for title, table in _tables(seen):
        parts += ["", title, tables.drawn(table.columns, table.rows)]
    return Group(*parts)  # pyright: ignore[reportArgumentType] - texts and tables, as rich takes them
