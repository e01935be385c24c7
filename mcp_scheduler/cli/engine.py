"""The engine and its machine: status, stop, nodes."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from mcp_scheduler.cli import options, out
from mcp_scheduler.cli.connect import engine, is_engine_running
from mcp_scheduler.cli.failures import SUCCESS, UNAVAILABLE
from mcp_scheduler.cli.tables import Column, Table
from mcp_scheduler.cli.text import Json, amount, counted, duration, one_line, size

Device = Annotated[
    str, typer.Argument(metavar="DEVICE", help="gpu0, the beginning of a UUID, or a part of the class: all that match.")
]


def status(as_json: options.AsJson = False, home: options.Home = None) -> int:
    """Show the engine of this home. Exit code 3 if none runs."""
    if not is_engine_running(home):
        if as_json:
            out.as_json({"running": False})
        else:
            out.aside("No engine runs. The first verb or client that needs one starts it.")
        return UNAVAILABLE
    with engine(home, start=False) as client:
        found = client.call("status", {})
    if as_json:
        out.as_json({"running": True} | found)
        return SUCCESS
    up = duration(time.time() - found["started_at"])  # noqa: TID251 - a person's clock: outside the engine
    state = "stopping" if found.get("stopping") else "embedded" if found.get("embedded") else "running"
    for name, value in (
        ("engine", f"{state}, version {found['version']}, pid {found['pid']}, up {up}"),
        ("home", found["home"]),
        ("python", found["python"]),
        ("doors", str(found["doors"])),
        ("tasks", counted(found.get("counts", {})) or "none"),
        ("policy", found.get("policy", "")),
        ("queue", found.get("paused", "")),
        ("database", f"{size(found['database_bytes'])}, schema {found['schema']}"),
    ):
        if value:
            out.line(f"{name:<8}  {value}")
    return SUCCESS


def stop(
    force: Annotated[
        bool, typer.Option("--force", help="Cancel what runs first, instead of leaving it to go on.")
    ] = False,
    home: options.Home = None,
) -> None:
    """Stop the engine. What runs goes on, and the next engine takes it over."""
    if not is_engine_running(home):
        out.aside("No engine runs.")
        return
    with engine(home, start=False) as client:
        client.call("stop", {"force": force})
    out.aside("The engine stops.")


def nodes(as_json: options.AsJson = False, home: options.Home = None) -> None:
    """Show where tasks run, and how loaded it is."""
    with engine(home) as client:
        load = client.call("load", {})
    if as_json:
        out.as_json(load)
        return
    node_table(load.get("nodes", [])).show()
    if any(node.get("devices") for node in load.get("nodes", [])):
        out.line()
        device_table([device for node in load["nodes"] for device in node.get("devices", [])]).show()
    out.line()
    out.line(f"tasks: {counted(load.get('counts', {})) or 'none'}")
    if load.get("policy"):
        out.line(f"policy: {load['policy']}")
    for node in load.get("nodes", []):
        if node.get("pool"):
            out.line(f"pool: {node['name']} {one_line(node['pool'])}")
    for alert in load.get("alerts", []):
        out.line(f"alert: {one_line(alert)}")


def drain(
    device: Device,
    lasting: Annotated[
        str, typer.Option("--for", metavar="TIME", help="Give it back by itself after this time, such as 30m or 2h.")
    ] = "",
    as_json: options.AsJson = False,
    home: options.Home = None,
) -> None:
    """Start nothing new on a device.

    What runs there finishes. Other devices go on as before.
    """
    asked: Json = {"device": device} | ({"lasting": lasting} if lasting else {})
    _withhold("drain", asked, as_json, home)


def undrain(device: Device, as_json: options.AsJson = False, home: options.Home = None) -> None:
    """Offer a drained device again.

    One that errors had put out of use, too: you say that it is well. The name of a node ends its quarantine.
    """
    _withhold("undrain", {"device": device}, as_json, home)


def _withhold(method: str, asked: Json, as_json: bool, home: options.Home) -> None:
    with engine(home) as client:
        answer = client.call(method, asked)
    if as_json:
        out.as_json(answer)
    else:
        device_table(answer.get("devices", [])).show()


def node_table(found: list[Json]) -> Table:
    """A table of nodes and their resources."""
    columns = (
        Column("NODE"), Column("RESOURCE"), Column("RESERVED", right=True), Column("TOTAL", right=True),
        Column("LOAD", right=True), Column("SOON", right=True, cut=True), Column("RUNNING", right=True),
        Column("WEIGHT", right=True, cut=True),
    )  # fmt: skip
    return Table(columns, [row for node in found for row in _rows(node)])


def device_table(found: list[Json]) -> Table:
    """A table of devices."""
    columns = (
        Column("DEVICE"), Column("LABEL"), Column("TOTAL", right=True), Column("FREE", right=True),
        Column("PROMISED", right=True), Column("STATE"), Column("TASKS"),
    )  # fmt: skip
    return Table(columns, [_device_row(device) for device in found])


def _device_row(device: Json) -> tuple[str, ...]:
    health = device["health"]
    state = f"{health}: {one_line(device['why'])}" if device.get("why") else health
    if health == "ok" and device.get("others"):
        state = "other programs on it"
    free, promised = device.get("free"), device.get("promised", 0)
    return (
        device["name"], device["label"], amount("memory", device["total"]) if device["total"] else "",
        "" if free is None else amount("memory", free), amount("memory", promised) if promised else "",
        state, ", ".join(device.get("tasks", [])),
    )  # fmt: skip


def _rows(node: Json) -> list[tuple[str, ...]]:
    """A row for each resource; loads that belong to none of them have a row of their own."""
    total, reserved = node.get("total", {}), node.get("reserved", {})
    load, soon = (
        {f"{name}s" if f"{name}s" in total else name: share for name, share in node.get(part, {}).items()}  # cpu → cpus
        for part in ("load", "soon")
    )
    rows: list[tuple[str, ...]] = []
    for place, name in enumerate([*total, *(name for name in load if name not in total)]):
        held = amount(name, reserved.get(name, 0)) if name in total else ""
        whole = amount(name, total[name]) if name in total else ""
        busy, later = (f"{part[name]:.0f} %" if name in part else "" for part in (load, soon))
        first, *last = _of_node(node) if place == 0 else ("", "", "")
        rows.append((first, name, held, whole, busy, later, *last))
    return rows


def _of_node(node: Json) -> tuple[str, str, str]:
    return node["name"], str(node.get("running", 0)), f"{node.get('weight', 100.0):.0f}"
