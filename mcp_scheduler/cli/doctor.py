"""doctor: everything that must be right, a line each, with what to do where it is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mcp_scheduler.cli import options, out
from mcp_scheduler.cli.checks import folder, machine, program, reach
from mcp_scheduler.cli.checks.finding import Finding
from mcp_scheduler.cli.connect import captured
from mcp_scheduler.cli.failures import SUCCESS, TASK_FAILED
from mcp_scheduler.cli.tables import coloured
from mcp_scheduler.cli.text import one_line
from mcp_scheduler.errors import SchedulerError
from mcp_scheduler.home import Home

_HEAD: Final = 19  # columns before the text of a finding


def doctor(
    *,
    as_json: options.AsJson = False,
    home: options.Home = None,
    python: options.Python = None,
    functions: options.Functions = None,
) -> int:
    """Check that everything is in order here.

    The installation, the data folder, its settings, the engine, your functions and this machine. Starts no engine and
    changes nothing. Exit code 1 if something is wrong.
    """
    findings: list[Finding] = []
    for finding in _findings(home, python, functions or []):
        findings.append(finding)
        if not as_json:
            _tell(finding)
    if as_json:
        out.as_json([dataclasses.asdict(finding) for finding in findings])
    return TASK_FAILED if any(finding.level == "FAIL" for finding in findings) else SUCCESS


def _findings(home: Path | None, python: str | None, functions: list[str]) -> Iterator[Finding]:
    chosen = Home.find(str(home or ""))
    yield program.check_python()
    yield program.check_packages()
    yield program.check_sqlite()
    yield folder.check_home(chosen.path)
    yield folder.check_settings(chosen.path)
    yield folder.check_file_system(chosen.path)
    yield folder.check_disk(chosen.path)
    yield reach.check_socket(chosen)
    yield reach.check_engine(home)
    try:
        environment = captured(python, functions)
    except SchedulerError as error:
        yield Finding("FAIL", "interpreter", error.message, error.hint)
    else:
        yield from reach.check_functions(environment)
    yield machine.check_cgroup()
    yield machine.check_files()
    yield machine.check_gpus()


def _tell(finding: Finding) -> None:
    """As soon as it is known: a check that hangs shows by the line that is missing."""
    out.hanging(f"{coloured(finding.level, 4)}  {finding.what:<11}  ", one_line(finding.text), _HEAD)
    if finding.todo:
        out.hanging(" " * _HEAD, one_line(finding.todo))
    out.flush()
