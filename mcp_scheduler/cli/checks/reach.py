"""Checks of the way to the engine and to the user's functions."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from mcp_scheduler._version import __version__
from mcp_scheduler.cli.checks.finding import Finding
from mcp_scheduler.cli.connect import engine, is_engine_running
from mcp_scheduler.cli.text import counted, one_line, plural
from mcp_scheduler.errors import SchedulerError
from mcp_scheduler.home import DoorError, Home

_OLDEST: Final = [3, 9]
_LOADING: Final = 60.0  # seconds that the user's modules may take to load
_LOAD = """
import json, sys
sys.path.append(sys.argv[1])
asked = json.loads(sys.argv[2])
answer = {"version": list(sys.version_info[:3]), "functions": 0, "problems": []}
if sys.version_info >= (3, 9):
    from mcp_scheduler.sdk.sources import load
    found = load(asked["functions"], asked["path"])
    answer.update(functions=len(found.functions), problems=found.problems)
sys.stderr.flush()
sys.__stdout__.write("\\n" + json.dumps(answer) + "\\n")
"""


def check_socket(home: Home) -> Finding:
    """The engine's socket: nobody else may be able to reach it."""
    try:
        address = home.engine_address()
        found = os.lstat(address)
    except FileNotFoundError:
        return Finding("OK", "socket", "none: no engine runs")
    except DoorError as error:
        return Finding("FAIL", "socket", error.message, error.hint)
    except OSError as error:
        return Finding("FAIL", "socket", f"{home.path}: {error.strerror}", "Name a real folder: --home DIR.")
    if not stat.S_ISSOCK(found.st_mode):
        return Finding("FAIL", "socket", f"{address} is no socket", f"Remove it: rm {address}")
    if stat.S_IMODE(found.st_mode) & 0o077:
        return Finding(
            "WARN", "socket", f"{address} is open to others", "mcp-scheduler stop; the next engine mends it."
        )
    return Finding("OK", "socket", address)


def check_engine(home: Path | None) -> Finding:
    """Whether an engine runs, answers, and is of this version."""
    try:
        if not is_engine_running(home):
            return Finding("OK", "engine", "none runs; the first client starts one")
        with engine(home, start=False) as client:
            found = client.call("status", {})
    except SchedulerError as error:
        return Finding("FAIL", "engine", one_line(error.message), one_line(error.hint))
    text = f"version {found['version']}, pid {found['pid']}, tasks: {counted(found.get('counts', {})) or 'none'}"
    if found["version"] != __version__:
        todo = "mcp-scheduler stop, when convenient: the next client starts this version; running work goes on."
        return Finding("WARN", "engine", f"{text}; this program is {__version__}", todo)
    return Finding("OK", "engine", text)


def check_functions(environment: Mapping[str, Any]) -> list[Finding]:
    """The interpreter that runs the user's functions, and whether it can load them."""
    python, sources = environment["python"], environment["functions"]
    package = str(Path(__file__).resolve().parents[3])
    asked = json.dumps({"functions": sources, "path": environment["path"]})
    try:
        ended = subprocess.run(
            [python, "-c", _LOAD, package, asked],
            cwd=environment["cwd"], env=dict(environment["variables"]), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, errors="replace", timeout=_LOADING, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        todo = "Loading a module must not do the work: move it into functions."
        return [Finding("FAIL", "functions", f"{', '.join(sources)}: not loaded within {_LOADING:.0f} s", todo)]
    except OSError as error:
        return [Finding("FAIL", "interpreter", f"{python}: {error.strerror}", "Name another with --python.")]
    try:
        answer = json.loads(ended.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        text = one_line(ended.stderr, 300) or f"exit code {ended.returncode}"
        return [Finding("FAIL", "interpreter", f"{python} does not work: {text}", "Name another with --python.")]
    number = ".".join(str(part) for part in answer["version"])
    if answer["version"] < _OLDEST:
        return [
            Finding("FAIL", "interpreter", f"{number} at {python}", "Name one of Python 3.9 or newer: --python PATH")
        ]
    return [Finding("OK", "interpreter", f"{number} at {python}"), *_loaded(sources, answer)]


def _loaded(sources: list[str], answer: Mapping[str, Any]) -> list[Finding]:
    problems = [
        Finding("FAIL", "functions", one_line(text, 400), "Until it loads, its functions cannot be called.")
        for text in answer["problems"]
    ]
    count = answer["functions"]
    if problems:
        return problems
    if not count:
        todo = "Name them with --functions FILE_OR_MODULE; commands need none."
        return [Finding("WARN" if sources else "OK", "functions", "none" if not sources else "none are declared", todo)]
    return [Finding("OK", "functions", f"{plural(count, 'function')} can be called")]
