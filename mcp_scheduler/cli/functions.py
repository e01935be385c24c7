"""What can be called: functions."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

import typer

from mcp_scheduler.cli import options, out, tables
from mcp_scheduler.cli.connect import engine
from mcp_scheduler.cli.tables import Column
from mcp_scheduler.cli.text import Json, one_line
from mcp_scheduler.signature import signature, type_of

_LIMIT: Final = 200


def functions(
    query: Annotated[
        str | None, typer.Argument(metavar="QUERY", help="Only functions whose name or summary has this.")
    ] = None,
    *,
    detail: Annotated[bool, typer.Option("--detail", help="With the whole schema of the arguments.")] = False,
    as_json: options.AsJson = False,
    home: options.Home = None,
    python: options.Python = None,
    sources: options.Functions = None,
) -> None:
    """List the functions that can be called from here."""
    asked: Json = {"limit": _LIMIT, "detail": detail} | ({"query": query} if query else {})
    with engine(home, python=python, functions=sources or ()) as client:
        page = client.call("functions", asked)
    if as_json:
        out.as_json(page)
        return
    found = page.get("functions", [])
    if found and detail:
        for function in found:
            _show_function(function)
    elif found:
        rows = [(f["name"], signature(f.get("parameters", {})), one_line(f.get("summary", ""))) for f in found]
        tables.show((Column("FUNCTION"), Column("ARGUMENTS", cut=True), Column("WHAT IT DOES", cut=True)), rows)
    for problem in page.get("problems", []):
        out.aside(f"warning: {one_line(problem)}")
    if not found:
        out.aside("No functions." if not query else f"No function matches '{query}'.")
        out.aside("hint: name a file or a module: --functions tools.py")
    elif page.get("total", 0) > len(found):
        out.aside(f"{len(found)} of {page['total']}; a QUERY narrows it down.")


def _show_function(function: Json) -> None:
    out.line(f"{function['name']}({signature(function.get('parameters', {}))})")
    if function.get("summary"):
        out.line(f"    {one_line(function['summary'])}")
    for name, schema in function.get("parameters", {}).get("properties", {}).items():
        text = one_line(schema.get("description", ""))
        out.line(f"    {name}: {type_of(schema)}" + (f"  {text}" if text else ""))
    settings = ", ".join(f"{name} {_plainly(value)}" for name, value in function.get("options", {}).items())
    if settings:
        out.line(f"    runs with: {settings}")
    out.line()


def _plainly(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={_plainly(part)}" for key, part in value.items())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]

    return json.dumps(value, ensure_ascii=False)
