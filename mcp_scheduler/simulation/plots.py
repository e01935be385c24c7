"""Pictures of runs, and the page that has them beside the figures."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from mcp_scheduler.simulation.chart import Axis, Point, Series, chart
from mcp_scheduler.simulation.experiment import Outcome
from mcp_scheduler.simulation.run import Run
from mcp_scheduler.simulation.tables import rows
from mcp_scheduler.simulation.trace import GPUS, capacity, demand

_BINS: Final = 400
_HOUR: Final = 3600.0
_STYLE: Final = (
    "body{font-family:sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .8em;border-bottom:1px solid #ddd;text-align:right}"
    "td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}"
)


def charts(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """SVG documents by name. Those over time show the first trace."""
    first = [(outcome.policy, outcome.runs[0]) for outcome in outcomes]
    resource = _resource(first[0][1])
    hours = Axis("hours since the first arrival")
    found = {
        "slowdowns": chart(
            "How many jobs were slowed down so much, or less",
            Axis("bounded slowdown (10 s)", logarithmic=True),
            Axis("% of the jobs", top=100.0),
            [Series(outcome.policy, _slowdowns(outcome.runs)) for outcome in outcomes],
        ),
        "waiting": chart("Jobs that wait", hours, Axis("jobs"), [Series(name, _waiting(run)) for name, run in first]),
    }
    if resource:
        use = [Series(name, _use(run, resource)) for name, run in first]
        found["use"] = chart(f"{resource} in use", hours, Axis("% of all", top=100.0), use)
    return found


def page(title: str, setting: Sequence[str], outcomes: Sequence[Outcome]) -> str:
    """An HTML page with the table and the charts in it. It loads nothing from elsewhere."""
    head = "".join(f"<th>{escape(name)}</th>" for name in ["", *(outcome.policy for outcome in outcomes)])
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows(outcomes))
    told = "".join(f"<p>{escape(line)}</p>\n" for line in setting)
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>{escape(title)}</h1>\n{told}"
        + "".join(charts(outcomes).values())
        + f"<table>\n<tr>{head}</tr>\n{body}</table>\n</body>\n</html>\n"
    )


def _resource(run: Run) -> str:
    """What is scarce: devices where jobs ask for them, else CPUs, else the first thing that they ask for."""
    asked = {name for job in run.trace.jobs for name in demand(job.needs, run.device_memory)}
    found = [
        name for name in (GPUS, "cpus", *sorted(asked)) if name in asked and capacity(run.trace.machines).get(name)
    ]
    return found[0] if found else ""


def _slowdowns(runs: Sequence[Run]) -> list[Point]:
    found = sorted(record.slowdown() for run in runs for record in run.records.values() if record.done)
    every = max(1, len(found) // _BINS)
    kept = [*range(0, len(found), every), len(found) - 1] if found else []
    return [(found[place], 100.0 * (place + 1) / len(found)) for place in kept]


def _span(run: Run) -> tuple[float, float]:
    first = run.trace.jobs[0].submit
    ends = [record.ended for record in run.records.values() if record.ended is not None]
    last = max([run.trace.jobs[-1].submit, *ends])
    return first, max(last - first, 1e-9)


def _waiting(run: Run) -> list[Point]:
    """The most that wait at once, in each of the bins of time."""
    first, span = _span(run)
    moments: list[tuple[float, int]] = []
    for record in run.records.values():
        left = record.began if record.began is not None else record.ended
        moments.append((record.job.submit, 1))
        moments += [(left, -1)] if left is not None else []
    most = [0] * (_BINS + 1)
    now, count = 0, 0
    for at, more in sorted(moments):
        place = int((at - first) / span * _BINS)
        for between in range(now + 1, place + 1):
            most[between] = count
        now = place
        count += more
        most[now] = max(most[now], count)
    return [(number * span / _BINS / _HOUR, float(value)) for number, value in enumerate(most)]


def _use(run: Run, resource: str) -> list[Point]:
    """The mean share in use, in each of the bins of time."""
    first, span = _span(run)
    width = span / _BINS
    total = capacity(run.trace.machines)[resource]
    used = [0.0] * _BINS
    for record in run.records.values():
        amount = demand(record.job.needs, run.device_memory).get(resource, 0.0)
        if record.began is None or not amount:
            continue
        start = (record.began - first) / width
        end = ((record.ended - first) if record.ended is not None else span) / width
        for place in range(int(start), min(int(end), _BINS - 1) + 1):
            used[place] += amount * max(0.0, min(end, place + 1) - max(start, place))
    return [((number + 0.5) * width / _HOUR, 100.0 * value / total) for number, value in enumerate(used)]
