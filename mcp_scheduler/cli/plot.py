"""Pictures: a forecast beside what came true, and the load of the last hour, each as one SVG file by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mcp_scheduler.cli import options, out
from mcp_scheduler.cli.connect import engine
from mcp_scheduler.cli.text import Json
from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.simulation.chart import Axis, Series, chart


def plot(
    what: Annotated[Literal["forecast", "load"], typer.Argument(metavar="WHAT", help="forecast or load.")],
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Of a forecast: the function or command.")] = None,
    *,
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="Where to write it. Default: here.")] = None,
    home: options.Home = None,
) -> None:
    """Draw a forecast with its history, or the load, as an SVG file."""
    if (what == "forecast") != (name is not None):
        raise InvalidRequest(
            "A forecast is of something, and the load of everything.",
            hint="Say `plot forecast NAME`, or `plot load`.",
        )
    with engine(home) as client:
        picture = _forecast(client.call("forecasts", {"name": name})) if name else _load(client.call("past_load", {}))
    file = to or Path(f"{what}-{_plain(name)}.svg" if name else f"{what}.svg")
    try:
        file.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be written: {error.strerror}.", hint="Name another file: --to.") from None
    out.line(str(file))


def _forecast(page: Json) -> str:
    """Run times of the widest key of this name: what was predicted before each, what it took, what comes next."""
    seconds = [one for one in page["forecasts"] if one["quantity"] == "seconds"]
    one = min(seconds or page["forecasts"], key=lambda one: (bool(one.get("device")), bool(one.get("input_size"))))
    judged = one.get("judged", [])
    last = len(judged)
    unit = "seconds" if one["quantity"] == "seconds" else "bytes"
    lines = [
        Series("what it took", [(float(place), row[0]) for place, row in enumerate(judged)]),
        Series(
            "the median that was predicted before",
            [*((float(place), row[1]) for place, row in enumerate(judged)), (float(last), one["median"])],
        ),
        Series(
            "the bound for nine of ten",
            [*((float(place), row[2]) for place, row in enumerate(judged)), (float(last), one["upper"])],
        ),
    ]
    coverage = f", {one['coverage']:.1%} of {one['predictions']} within the bound" if one.get("predictions") else ""
    title = f"{one['name']}: by {one['method']}{coverage}"
    return chart(title, Axis("runs, the next one last"), Axis(unit, logarithmic=True), lines)


def _load(past: Json) -> str:
    if not past.get("series"):
        raise InvalidRequest("The load has not been looked at yet.", hint="Try again in some seconds.")
    lines: list[Series] = []
    for one in past["series"]:
        values = one["values"]
        minutes = one["every"] / 60.0
        points = [((place - len(values) + 1) * minutes, value) for place, value in enumerate(values)]
        lines.append(Series(one["name"], points))
        if one["name"] in ("cpu", "memory"):
            ahead = [points[-1], (one["ahead"] / 60.0, one["expected"])]
            lines.append(Series(f"{one['name']}, expected (± {one['error']:.1f})", ahead))
    return chart("Load of the host", Axis("minutes from now"), Axis("percent", top=100.0), lines)


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in name)
