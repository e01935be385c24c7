"""simulate: a trace through the real decision, on a virtual cluster, under several policies."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mcp_scheduler.cli import options, out, tables
from mcp_scheduler.cli.text import plural
from mcp_scheduler.errors import InvalidRequest

_SUFFIXES = (".html", ".md", ".json", ".svg")


def simulate(
    trace: Annotated[
        Path,
        typer.Argument(
            metavar="TRACE", help="A .swf, .rcp or .json file, or a folder or .tar.gz of several: see the how-to."
        ),
    ],
    *,
    policy: Annotated[str, typer.Option("--policy", metavar="A,B", help="Policies to compare, or `all`.")] = "all",
    nodes: Annotated[
        list[str] | None,
        typer.Option(
            "--nodes",
            metavar="SPEC",
            help="Nodes in place of the trace's own: cpus=256, or 4*cpus=16,gpus=2,gpu_memory=80GB. Repeatable.",
        ),
    ] = None,
    estimates: Annotated[
        str,
        typer.Option(
            "--estimates",
            metavar="KIND",
            help="What is known of run times: exact, requested, constant:SECONDS, noise:SIGMA or learnt.",
        ),
    ] = "learnt",
    ageing: Annotated[
        float, typer.Option("--ageing", metavar="SECONDS", min=0, help="As the setting queue.ageing; 0: by run times.")
    ] = 0.0,
    steepness: Annotated[
        float, typer.Option("--steepness", metavar="X", min=0.25, max=8, help="As the setting queue.steepness.")
    ] = 1.0,
    quantum: Annotated[
        float,
        typer.Option("--quantum", metavar="SECONDS", min=0.1, help="As the setting queue.quantum, for time_slice."),
    ] = 10.0,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Of noise and windows: equal seeds, equal runs.")
    ] = 1,
    windows: Annotated[
        str | None, typer.Option("--windows", metavar="NxJOBS", help="Draw windows: 10x1024 is ten of 1,024 jobs.")
    ] = None,
    start: Annotated[int, typer.Option("--start", metavar="N", min=0, help="Leave out the first N jobs.")] = 0,
    jobs: Annotated[int | None, typer.Option("--jobs", metavar="N", min=1, help="Stop after so many jobs.")] = None,
    report: Annotated[
        list[Path] | None,
        typer.Option("--report", metavar="FILE", help="Write a .html, .md, .json or .svg file too. Repeatable."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Compare policies on a trace of past jobs.

    The jobs go through the scheduler's own decisions on virtual nodes and a virtual clock: nothing is executed, and no
    engine is needed.
    docs/howto/simulate.md has the formats and how to read the figures.
    """
    from mcp_scheduler.policies.catalogue import Policies  # noqa: PLC0415 - 150 ms
    from mcp_scheduler.simulation import experiment  # noqa: PLC0415 - as above

    for file in report or []:
        _check_suffix(file)
    traces = _traces(trace, nodes or [], windows, seed, start, jobs)
    known = Policies(tau=ageing, steepness=steepness, quantum=quantum)
    names = known.names if policy == "all" else [name.strip() for name in policy.split(",") if name.strip()]
    chosen = [known.find(name) for name in names]
    outcomes: list[Any] = []
    for outcome in experiment.compare(traces, chosen, estimates, seed):
        outcomes.append(outcome)
        if len(chosen) > 1 and sys.stderr.isatty():
            out.aside(f"{outcome.policy}: done")
    setting = _setting(trace, traces, nodes or [], estimates, seed)
    setting |= {"ageing": ageing, "steepness": steepness, "quantum": quantum}
    _show(outcomes, setting, as_json=as_json)
    for file in report or []:
        _write(file, outcomes, setting)


def _traces(
    path: Path, nodes: Sequence[str], windows: str | None, seed: int, start: int, jobs: int | None
) -> list[Any]:
    """The traces as they are asked for: which part, in which windows, on which nodes."""
    from mcp_scheduler.simulation import machines, readers  # noqa: PLC0415 - as above
    from mcp_scheduler.simulation.windows import windows as drawn  # noqa: PLC0415 - as above

    if not path.exists():
        raise InvalidRequest(
            f"There is no file {path}.", hint="Name a trace: docs/howto/simulate.md tells where there are some."
        )
    found = readers.read(path)
    if start or jobs is not None:
        found = [one.part(start, jobs) for one in found]
        if not all(one.jobs for one in found):
            raise InvalidRequest(f"There is no job after the first {start}.", hint="Give a smaller --start.")
    if windows is not None:
        found = [window for one in found for window in drawn(one, windows, seed)]
    if nodes:
        given = machines.parse(nodes)
        found = [one.on(given) for one in found]
    return found


def _setting(path: Path, traces: Sequence[Any], nodes: Sequence[str], estimates: str, seed: int) -> dict[str, Any]:
    from mcp_scheduler.simulation.trace import capacity  # noqa: PLC0415 - as above

    first = traces[0]
    return {
        "trace": path.name,
        "runs": len(traces),
        "jobs": sum(len(one.jobs) for one in traces),
        "skipped": first.skipped,
        "nodes": list(nodes) or f"{len(first.machines)} of the trace",
        "capacity": capacity(first.machines),
        "estimates": estimates,
        "seed": seed,
    }


def _told(setting: dict[str, Any]) -> list[str]:
    counted = ", ".join(f"{name} {value:,.0f}" for name, value in setting["capacity"].items() if name != "memory")
    what = f"{setting['trace']}: {plural(setting['runs'], 'run')}, {setting['jobs']:,} jobs, on {counted}"
    lines = [f"{what}; estimates {setting['estimates']}, seed {setting['seed']}"]
    if setting["skipped"]:
        lines.append(f"{setting['skipped']:,} entries of the trace have no run time or no size, and are left out.")
    return lines


def _show(outcomes: Sequence[Any], setting: dict[str, Any], *, as_json: bool) -> None:
    from mcp_scheduler.simulation.tables import as_json as all_of_it  # noqa: PLC0415 - as above
    from mcp_scheduler.simulation.tables import rows  # noqa: PLC0415 - as above

    if as_json:
        out.as_json(all_of_it(outcomes, setting))
        return
    for line in _told(setting):
        out.aside(line)
    columns = [tables.Column(""), *(tables.Column(outcome.policy, right=True) for outcome in outcomes)]
    tables.show(columns, rows(outcomes))


def _check_suffix(file: Path) -> None:
    if file.suffix not in _SUFFIXES:
        raise InvalidRequest(
            f"A report cannot be written as '{file.suffix or file.name}'.",
            hint=f"Give a file that ends in {', '.join(_SUFFIXES)}; a browser turns .svg into pictures of other kinds.",
        )


def _write(file: Path, outcomes: Sequence[Any], setting: dict[str, Any]) -> None:
    import json  # noqa: PLC0415 - only here

    from mcp_scheduler.simulation import plots  # noqa: PLC0415 - as above
    from mcp_scheduler.simulation.tables import as_json, markdown  # noqa: PLC0415 - as above

    try:
        match file.suffix:
            case ".html":
                file.write_text(
                    plots.page(f"Simulation of {setting['trace']}", _told(setting), outcomes), encoding="utf-8"
                )
            case ".md":
                file.write_text("\n\n".join([*_told(setting), markdown(outcomes)]), encoding="utf-8")
            case ".json":
                file.write_text(json.dumps(as_json(outcomes, setting), indent=2) + "\n", encoding="utf-8")
            case _:
                for name, svg in plots.charts(outcomes).items():
                    file.with_stem(f"{file.stem}-{name}").write_text(svg, encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be written: {error.strerror or error}.") from error
