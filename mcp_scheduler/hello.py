"""Who asks: the hello line of a door, with the environment in which its functions and commands run.

Standard library only, and little of it: every client's start imports this file.
"""

from __future__ import annotations

import json
import os
import sys

from mcp_scheduler._version import __version__
from mcp_scheduler.home import DoorError, digest

TYPE_CHECKING = False  # typing, too, is dear at a client's start
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

PROTOCOL = 1  # of the two lines with which a door opens
VARIABLES = ("PATH", "VIRTUAL_ENV", "HOME", "LANG", "TMPDIR")  # and LC_*: taken along from the client's side


def capture_environment(
    *,
    python: str = "",
    functions: Iterable[str] = (),
    names: Iterable[str] = (),
    cwd: str = "",
    environ: Mapping[str, str] = os.environ,
) -> dict[str, Any]:
    """Where this client's functions and commands run, as the hello line says it.

    `python` is the interpreter's path or name, "" for the project's own; `functions` are files or modules; `names` are
    further variables to take along; `cwd` is a folder, "" for the working folder. `DoorError` if there is no such
    interpreter or folder, or the working folder has been removed.
    """
    folder = _folder(cwd) if cwd else _working_folder()
    wanted = {*VARIABLES, *names}
    variables = {name: value for name, value in environ.items() if name in wanted or name.startswith("LC_")}
    return {
        "python": _interpreter(python, folder, environ),
        "cwd": folder,
        "path": [_absolute(part) for part in environ.get("PYTHONPATH", "").split(os.pathsep) if part],
        "functions": [_source(source) for source in functions],
        "variables": variables,
    }


def environment_key(environment: Mapping[str, Any]) -> str:
    """16 hexadecimal digits: the same for equal environments, on both sides of the socket."""
    return digest(json.dumps(environment, sort_keys=True, separators=(",", ":")))


def make_hello(
    speak: str,
    *,
    client: str = "",
    principal: str = "",
    any_command: bool = False,
    commands: Iterable[str] = (),
    environment: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, Any]:
    """The first line of a new door. `speak` is "mcp" or "owner"; `environment` is captured here if not given."""
    return {
        "mcp_scheduler": PROTOCOL,
        "door": os.urandom(16).hex(),
        "resumed": False,
        "speak": speak,
        "version": __version__,
        "principal": principal,
        "client": client,
        "grant": {"any_command": any_command, "commands": list(commands)},
        "environment": dict(environment or capture_environment(environ=environ)),
        "attempt": environ.get("MCP_SCHEDULER_ATTEMPT") or environ.get("MCP_SCHEDULER_COOKIE", ""),
    }


def _interpreter(python: str, folder: str, environ: Mapping[str, str]) -> str:
    if python:
        return _program(python, environ)
    for root in (environ.get("VIRTUAL_ENV", ""), os.path.join(folder, ".venv")):
        candidate = os.path.join(root, "bin", "python")
        if root and os.access(candidate, os.X_OK):
            return _absolute(candidate)
    return sys.executable


def _program(python: str, environ: Mapping[str, str]) -> str:
    if os.sep in python:
        candidates = [_absolute(os.path.expanduser(python))]
    else:
        candidates = [os.path.join(part, python) for part in environ.get("PATH", "").split(os.pathsep) if part]
    for candidate in candidates:
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    raise DoorError(
        f"There is no interpreter {python!r}.",
        code="invalid_request",
        hint="Give --python the path of a python program, such as /home/me/project/.venv/bin/python.",
    )


def _working_folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # no other folder will do: commands would do their work there
        raise DoorError(
            "The folder that this program was started in has been removed.",
            code="invalid_request",
            hint="cd to your project first.",
        ) from None


def _absolute(path: str) -> str:
    """As `os.path.abspath`, with the trouble told."""
    return os.path.normpath(path if os.path.isabs(path) else os.path.join(_working_folder(), path))


def _folder(cwd: str) -> str:
    folder = _absolute(os.path.expanduser(cwd))
    if not os.path.isdir(folder):
        raise DoorError(
            f"There is no folder {folder}.", code="invalid_request", hint="Give --cwd the folder of your project."
        )
    return folder


def _source(source: str) -> str:
    return _absolute(os.path.expanduser(source)) if source.endswith(".py") or os.sep in source else source
