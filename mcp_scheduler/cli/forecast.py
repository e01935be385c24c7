"""What the scheduler expects of functions and commands, and how true that was."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from mcp_scheduler.cli import options, out, tables
from mcp_scheduler.cli.connect import engine
from mcp_scheduler.cli.tables import Column
from mcp_scheduler.cli.text import Json, amount, duration

_COLUMNS: Final = (
    Column("NAME", cut=True), Column("WHAT"), Column("DEVICE"), Column("INPUT"), Column("RUNS", right=True),
    Column("MEDIAN", right=True), Column("90 % BELOW", right=True), Column("METHOD"), Column("JUDGED", right=True),
    Column("COVERED", right=True), Column("OFF BY", right=True),
)  # fmt: skip


def forecast(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A function, or `command` and its program: in every detail.")
    ] = None,
    *,
    as_json: options.AsJson = False,
    home: options.Home = None,
) -> None:
    """Show what calls are expected to take, and how true that was."""
    with engine(home) as client:
        page = client.call("forecasts", {"name": name} if name else {})
    if as_json:
        out.as_json(page)
        return
    found = page.get("forecasts", [])
    rows = [_row(one) for one in [*found, *page.get("overall", [])]]
    if not found:
        out.aside("Nothing has been learnt yet: forecasts come with the first calls that end.")
        return
    tables.show(_COLUMNS, rows)
    for function, each in page.get("in_chunks", {}).items():
        out.aside(f"In chunks an item of {function} takes about {told('seconds', each)}: so the next map is cut.")
    out.aside("COVERED: runs within their 90 % bound, each predicted before it was learnt.")
    if page.get("total", 0) > len(found):
        out.aside(f"{len(found)} of {page['total']}; those that learnt last.")


def _row(one: Json) -> tuple[str, ...]:
    coverage, off_by = one.get("coverage"), one.get("off_by")
    return (
        one["name"], one["quantity"], one.get("device", ""), one.get("input_size", ""), str(one["runs"]),
        told(one["quantity"], one["median"]), told(one["quantity"], one["upper"]), one["method"],
        str(one.get("predictions", 0)), "" if coverage is None else f"{coverage:.1%}",
        "" if off_by is None else f"×{off_by:.2f}",
    )  # fmt: skip


def told(quantity: str, value: float) -> str:
    """A quantity for people."""
    if quantity != "seconds":
        return amount("memory", value)
    return duration(value) if value >= 1 else f"{value * 1000:.3g} ms"
