"""config: the exact lines that make a client use this scheduler, with absolute paths, and where they go."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from mcp_scheduler.cli import options, out
from mcp_scheduler.cli.connect import captured
from mcp_scheduler.cli.text import Json
from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.home import Home
from mcp_scheduler.start import package_folder

Client = Literal["claude-desktop", "claude-code", "cursor", "vscode"]

_ENTRY: Final = "scheduler"  # the name by which the client knows us: its tools are called mcp__scheduler__...
_USUAL: Final = "python *"  # what a client may run that was asked nothing about: `python train.py` works at once
_ELSEWHERE: Final = ("claude-desktop", "cursor")  # they start servers in no folder of the user's
_DESKTOP_FILES: Final = {
    "darwin": "~/Library/Application Support/Claude/claude_desktop_config.json",
    "win32": r"%APPDATA%\Claude\claude_desktop_config.json",
}
_PLACES: Final = {
    "claude-desktop": "Put it into {file} (merge it with what is there), then quit and start Claude Desktop.",
    "cursor": "Put it into .cursor/mcp.json of the project, or ~/.cursor/mcp.json for all projects.",
    "vscode": "Put it into .vscode/mcp.json of the project (or run `MCP: Open User Configuration` for all projects).",
    "claude-code": "Run this line; `--scope user` is for all projects, `--scope project` shares it in .mcp.json.",
}


def config(
    client: Annotated[
        Client,
        typer.Argument(
            metavar="CLIENT", help="claude-desktop, claude-code, cursor or vscode: who is to use the scheduler."
        ),
    ],
    *,
    home: options.Home = None,
    python: options.Python = None,
    functions: options.Functions = None,
    principal: options.As = "",
    allow_command: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-command", metavar="PATTERN", help="Commands it may run. Repeatable. Default: 'python *'."
        ),
    ] = None,
    allow_any_command: Annotated[bool, typer.Option("--allow-any-command", help="It may run every command.")] = False,
    no_commands: Annotated[bool, typer.Option("--no-commands", help="It may run functions only.")] = False,
) -> None:
    """Print the configuration for a client. Standard output is what to paste, standard error says where."""
    patterns = list(allow_command or []) if allow_command or allow_any_command or no_commands else [_USUAL]
    server = Server.of(
        home=home, python=python, functions=functions or [], principal=principal, commands=patterns,
        any_command=allow_any_command, cwd=_here() if client in _ELSEWHERE else "",
    )  # fmt: skip
    if client == "claude-code":
        out.line(server.claude_code())
    else:
        out.as_json(server.vscode() if client == "vscode" else server.common())
    desktop = _DESKTOP_FILES.get(sys.platform, "~/.config/Claude/claude_desktop_config.json")
    out.aside(_PLACES[client].format(file=desktop))
    if client in _ELSEWHERE:
        out.aside(f'"--cwd", "{_here()}": where commands run; `train.py` means the file there.')
    for line in _explained(patterns, allow_any_command, bool(functions)):
        out.aside(line)
    for source in functions or ():
        if (source.endswith(".py") or os.sep in source) and not Path(source).expanduser().is_file():
            out.aside(f"warning: there is no file {source} yet: the client will see no functions of it.")


def _here() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise InvalidRequest("The folder that you are in has been removed.", hint="cd to your project first.") from None


def _explained(patterns: list[str], any_command: bool, has_functions: bool) -> list[str]:
    """What the client is permitted, and how that is changed."""
    told = [f'"--allow-command", "{pattern}": {_meaning(pattern)}' for pattern in patterns]
    if any_command:
        told.append("--allow-any-command: it may run every program of yours, without asking.")
    if patterns == [_USUAL]:
        told.append("  That is whatever a Python program can do as you. Narrower: --allow-command 'python train.py *';")
        told.append("  none: --no-commands. In a file that is there already, change these two words of `args`.")
    elif not patterns and not any_command:
        told.append("It may run functions only. --allow-command 'python *' also lets it run `python train.py`.")
    if not has_functions:
        told.append("Functions of your own: --functions FILE.")
    return told


def _meaning(pattern: str) -> str:
    program, *words = shlex.split(pattern) or [""]
    if words == ["*"]:
        return f"it may run {program} with any arguments."
    if words and words[-1] == "*":
        return f"it may run {program} if the first arguments are {shlex.join(words[:-1])}."
    return f"it may run {shlex.join([program, *words])}, and with nothing else behind it."


@dataclass(frozen=True, slots=True)
class Server:
    """The command that a client starts, word by word."""

    program: str
    words: tuple[str, ...]

    @classmethod
    def of(
        cls,
        *,
        home: Path | None,
        python: str | None,
        functions: list[str],
        principal: str,
        commands: list[str],
        any_command: bool,
        cwd: str,
    ) -> Server:
        """All paths are absolute: a client starts us in a folder of its own, with next to no environment."""
        program, *words = own_program(os.environ)
        environment = captured(python, functions)
        words += ["--python", environment["python"]]
        words += ["--cwd", cwd] if cwd else []
        for source in environment["functions"]:
            words += ["--functions", source]
        if home is not None or os.environ.get("MCP_SCHEDULER_HOME"):
            words += ["--home", Home.find(str(home or "")).path]
        if principal:
            words += ["--as", principal]
        for pattern in commands:
            words += ["--allow-command", pattern]
        return cls(program, (*words, *(["--allow-any-command"] if any_command else [])))

    def common(self) -> Json:
        """As Claude Desktop and Cursor read it."""
        return {"mcpServers": {_ENTRY: {"command": self.program, "args": list(self.words)}}}

    def vscode(self) -> Json:
        return {"servers": {_ENTRY: {"type": "stdio", "command": self.program, "args": list(self.words)}}}

    def claude_code(self) -> str:
        return shlex.join(["claude", "mcp", "add", "--scope", "user", _ENTRY, "--", self.program, *self.words])


def own_program(environ: Mapping[str, str]) -> list[str]:
    """How a client starts this installation: the console script beside this interpreter, `uvx` where that runs us from
    its cache (which it clears at will), else the interpreter with -m (which finds a source tree by its path only)."""
    if "/uv/archive-v" in sys.prefix and (uvx := shutil.which("uvx", path=environ.get("PATH"))):
        return [os.path.abspath(uvx), "mcp-scheduler"]
    script = Path(sysconfig.get_path("scripts"), "mcp-scheduler")
    if script.is_file():
        return [str(script)]
    folder = package_folder()
    tree = ["/usr/bin/env", f"PYTHONPATH={folder}"] if folder else []
    return [*tree, sys.executable, "-m", "mcp_scheduler"]
