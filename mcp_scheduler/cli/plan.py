"""plan: what would happen, without doing it."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from mcp_scheduler.cli import arguments, options, out, tables
from mcp_scheduler.cli.connect import engine
from mcp_scheduler.cli.tables import Column
from mcp_scheduler.cli.text import Json, duration, one_line

_OUTCOMES: Final = (
    Column("POLICY"), Column("TASKS", right=True), Column("NO END", right=True), Column("MAKESPAN", right=True),
    Column("MEAN END", right=True), Column("LONGEST WAIT", right=True), Column("CPUS", right=True),
    Column("DEVICES", right=True), Column("CUT"),
)  # fmt: skip
_TASKS: Final = (
    Column("TASK", cut=True), Column("STARTS IN", right=True), Column("ENDS IN", right=True), Column("NODE"),
    Column("DEVICES"), Column("WAITS FOR", cut=True), Column("TIME"), Column("WHY NOT", cut=True),
)  # fmt: skip
_FRONT: Final = (
    Column("BY"), Column("MAKESPAN", right=True), Column("ENERGY", right=True), Column("UTILISATION", right=True),
    Column("PLAN"), Column("WHERE"),
)  # fmt: skip
_KILOWATT_HOUR: Final = 3.6e6


def plan(
    file: Annotated[
        str | None,
        typer.Argument(metavar="FILE", help="Tasks by key as JSON, as for submit_graph; `-` reads standard input."),
    ] = None,
    *,
    policy: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Under this policy. Repeatable: side by side.")
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT",
            help="makespan: look for an order of the tasks that ends sooner. energy, utilisation: for a Pareto front."
            " Repeatable.",
        ),
    ] = None,
    seconds: Annotated[float | None, typer.Option(metavar="S", help="For all of it; 2, from 0.5 to 30.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="So many tasks.")] = 20,
    offset: Annotated[int, typer.Option(metavar="N", min=0, help="From this one on.")] = 0,
    as_json: options.AsJson = False,
    home: options.Home = None,
    python: options.Python = None,
    functions: options.Functions = None,
    principal: options.As = "",
) -> None:
    """Tell where and when tasks would run. Nothing is submitted.

    Of the tasks in FILE in front of the present queue, or without it of all that is unfinished.
    """
    asked: Json = {"limit": limit, "offset": offset, "policies": policy or []}
    if objective:
        asked["objectives"] = objective
    if seconds is not None:
        asked["seconds"] = seconds
    if file is not None:
        asked["tasks"] = arguments.graph(file)["tasks"]
    with engine(home, python=python, functions=functions or (), principal=principal) as client:
        found: Json = client.call("plan", asked)
    if as_json:
        out.as_json(found)
        return
    tables.show(_OUTCOMES, [_outcome(one) for one in found["outcomes"]])
    if found.get("front"):
        out.line()
        tables.show(_FRONT, [_point(one) for one in found["front"]])
    if found.get("tasks"):
        out.line()
        tables.show(_TASKS, [_task(one) for one in found["tasks"]])
    if found.get("plan"):
        out.aside(f"In this order: mcp-scheduler graph {file or 'FILE'} --plan {found['plan']}")
    for note in found.get("notes", ()):
        out.aside(note)
    if found.get("next_offset") is not None:
        out.aside(f"{len(found['tasks'])} of {found['total']}; `--offset {found['next_offset']}` goes on.")


def _outcome(one: Json) -> tuple[str, ...]:
    shares: Json = one.get("utilisation", {})
    return (
        one["policy"], str(one["tasks"]), str(one["without_end"] or ""), duration(one["makespan"]),
        duration(one["mean_end"]), duration(one["longest_wait"]), *(_percent(shares.get(name)) for name in
        ("cpus", "devices")), "cut" if one.get("cut") else "",
    )  # fmt: skip


def _point(one: Json) -> tuple[str, ...]:
    """Energy in joules, and from a kilowatt-hour on in those; how many tasks run where."""
    energy: float = one["energy"]
    where = ", ".join(f"{len(keys)} on {spot}" for spot, keys in one.get("where", {}).items())
    told = f"{energy:,.0f} J" if energy < _KILOWATT_HOUR else f"{energy / _KILOWATT_HOUR:,.2f} kWh"
    return one["by"], duration(one["makespan"]), told, _percent(one["utilisation"]), one.get("plan", ""), where


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


def _task(one: Json) -> tuple[str, ...]:
    start, end = one.get("start"), one.get("end")
    begins = "" if start is None else "running" if start < 0 else duration(start) if start else "now"
    return (
        one["id"], begins, duration(end), one.get("node", ""), ",".join(one.get("devices", ())),
        ", ".join(one.get("after", ())), "assumed" if one.get("assumed") else "", one_line(one.get("why", "")),
    )  # fmt: skip
