"""The options of the stdio door, as they stand in a client's configuration file.

Parsed by hand: argparse alone would cost a sixth of the time in which the relay has to start.
"""

from __future__ import annotations

from mcp_scheduler.hello import capture_environment, make_hello

TYPE_CHECKING = False  # typing, too, is dear at a client's start
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

USAGE = """\
usage: mcp-scheduler [options]            serve MCP on standard input and output (what MCP clients start)
       mcp-scheduler VERB ...             the command line: run, submit, list, wait, logs, cancel, top, doctor, ...
       mcp-scheduler serve [options]      run the engine in the foreground, with streamable HTTP

options of the MCP server:
  --home DIR                data folder (default: $MCP_SCHEDULER_HOME, else the user's data folder)
  --python PATH             interpreter that runs your functions (default: $VIRTUAL_ENV's, else ./.venv's, else ours)
  --cwd DIR                 folder in which functions and commands run (default: where the client starts us)
  --functions FILE|MODULE   where your functions are; may be repeated
  --as NAME                 on whose behalf tasks are submitted (default: the client's name)
  --allow-command PATTERN   a command that may be run, such as "python *"; may be repeated
  --allow-any-command       any command may be run
  --env NAME                a variable to take along for functions and commands; may be repeated
  --embedded                run the engine within this process
  --version, --help

`mcp-scheduler help` lists all verbs, `mcp-scheduler VERB --help` tells about one.
"""


SERVE_USAGE = """\
usage: mcp-scheduler serve [options]      run the engine in the foreground, with streamable HTTP at /mcp

  --host ADDRESS            a loopback address to listen on (default: 127.0.0.1)
  --port N                  default: a free one; the address is printed on standard error

and --home, --python, --cwd, --functions, --allow-command, --allow-any-command and --env as of the MCP server
(`mcp-scheduler --help`): they hold for all its clients. Every request needs `Authorization: Bearer TOKEN`, with the
token from the file http.token of the home.
"""


class UsageError(Exception):
    """The command line is wrong; the text says what would be right."""


class Options:
    """What a client's configuration says about its door."""

    __slots__ = ("any_command", "commands", "cwd", "embedded", "functions", "home", "names", "principal", "python")

    def __init__(self) -> None:
        self.home = ""
        self.python = ""
        self.cwd = ""
        self.principal = ""
        self.functions: list[str] = []
        self.commands: list[str] = []
        self.names: list[str] = []
        self.any_command = False
        self.embedded = False

    def hello(self, speak: str, *, client: str = "") -> dict[str, Any]:
        """The first line of a door with these options. `DoorError` if `--python` names no interpreter."""
        return make_hello(
            speak,
            client=client,
            principal=self.principal,
            any_command=self.any_command,
            commands=self.commands,
            environment=capture_environment(
                python=self.python, functions=self.functions, names=self.names, cwd=self.cwd
            ),
        )


ONCE = {"--home": "home", "--python": "python", "--cwd": "cwd", "--as": "principal"}
REPEATABLE = {"--functions": "functions", "--allow-command": "commands", "--env": "names"}
FLAGS = {"--allow-any-command": "any_command", "--embedded": "embedded"}


def parse(arguments: Sequence[str]) -> Options:
    """The options, written `--name value` or `--name=value`. `UsageError` for what is not an option of the door."""
    options = Options()
    rest = list(arguments)
    while rest:
        name, given, value = rest.pop(0).partition("=")
        if name in FLAGS and not given:
            setattr(options, FLAGS[name], True)
            continue
        if name not in ONCE and name not in REPEATABLE:
            raise UsageError(f"unknown option {name}; these are known: {', '.join([*ONCE, *REPEATABLE, *FLAGS])}")
        if not given:
            if not rest:
                raise UsageError(f"{name} needs a value")
            value = rest.pop(0)
        if not value:
            raise UsageError(f"{name} needs a value that is not empty")
        if name in ONCE:
            setattr(options, ONCE[name], value)
        else:
            getattr(options, REPEATABLE[name]).append(value)
    return options
