"""The owner's command line. Every verb is one call (or a few) over the engine's socket.

A verb's module is imported when the verb is asked for: `list` does not pay for what `doctor` needs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from mcp_scheduler.cli import out
from mcp_scheduler.cli.coercion import read_plainly
from mcp_scheduler.cli.failures import INTERRUPTED, INVALID, PIPE_CLOSED, complain, told
from mcp_scheduler.errors import SchedulerError

PROGRAM: Final = "mcp-scheduler"
COMPLETE: Final = "_MCP_SCHEDULER_COMPLETE"  # the shell's completion script sets it
_INTRODUCTION: Final = """The job scheduler that agents talk to, from a person's shell.

Without a verb it is the MCP server that clients start, `serve` is that over HTTP: `mcp-scheduler --help` tells of both.
"""

# verb → (module of this package, its function)
VERBS: Final = {
    "submit": ("submit", "submit"),
    "graph": ("many", "graph"),
    "map": ("many", "map_"),
    "run": ("run", "run"),
    "lease": ("lease", "lease"),
    "list": ("tasks", "list_tasks"),
    "show": ("tasks", "show_task"),
    "wait": ("waiting", "wait"),
    "logs": ("logs", "logs"),
    "result": ("tasks", "result"),
    "cancel": ("changes", "cancel"),
    "hold": ("changes", "hold"),
    "resume": ("queue", "resume"),
    "retry": ("changes", "retry"),
    "priority": ("changes", "priority"),
    "explain": ("policies", "explain"),
    "policy": ("policies", "policy"),
    "plan": ("plan", "plan"),
    "pause": ("queue", "pause"),
    "top": ("top", "top"),
    "forecast": ("forecast", "forecast"),
    "plot": ("plot", "plot"),
    "nodes": ("engine", "nodes"),
    "contention": ("contention", "contention"),
    "drain": ("engine", "drain"),
    "undrain": ("engine", "undrain"),
    "functions": ("functions", "functions"),
    "status": ("engine", "status"),
    "stop": ("engine", "stop"),
    "config": ("config", "config"),
    "doctor": ("doctor", "doctor"),
    "simulate": ("simulate", "simulate"),
    "demo": ("demo", "demo"),
    "completion": ("shells", "completion"),
}
RUNNERS: Final = frozenset({"run", "lease"})  # their first word that is no option begins the command, as with nohup
COMMAND_VERBS: Final = RUNNERS | {"submit", "map"}  # what follows `--` is a command for the scheduler
_BEHIND_OPTIONS: Final = {"allow_interspersed_args": False, "allow_extra_args": True}
_COMMAND_USAGE: Final = dict.fromkeys(("submit", "map"), "[-- COMMAND...]") | dict.fromkeys(RUNNERS, "[--] COMMAND...")


class Commands(Mapping[str, Any]):
    """The verbs as Typer's commands, each made when it is asked for."""

    def __getitem__(self, verb: str) -> Any:
        module, function = VERBS[verb]
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        settings = _BEHIND_OPTIONS if verb in RUNNERS else {}
        action = getattr(import_module(f"mcp_scheduler.cli.{module}"), function)
        single.command(verb, cls=Verb, context_settings=settings)(action)
        return get_command(single)

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)


class Verb(TyperCommand):
    """One verb."""

    def get_params(self, ctx: Any) -> list[Any]:
        return read_plainly(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words of the usage line. A command is no parameter of ours, so it is named here."""
        command = _COMMAND_USAGE.get(self.name or "")
        return [*super().collect_usage_pieces(ctx), *([command] if command else [])]


class Verbs(TyperGroup):
    """The group of all verbs."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: Any = Commands()

    def get_params(self, ctx: Any) -> list[Any]:
        return read_plainly(super().get_params(ctx))


def root() -> Any:
    """The command line as a tree of commands: what `main` runs, shells complete and the reference page prints."""
    app = typer.Typer(
        name=PROGRAM, cls=Verbs, help=_INTRODUCTION, add_completion=COMPLETE in os.environ,
        pretty_exceptions_enable=False, rich_markup_mode=None,
    )  # fmt: skip
    app.callback()(_nothing)
    return get_command(app)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; answers with its exit code (see `failures`). Never raises for what a user can do wrong."""
    words = list(sys.argv[1:] if argv is None else argv)
    out.spare_strange_letters()
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    command: list[str] | None = None
    if words and words[0] in COMMAND_VERBS and "--" in words:
        place = words.index("--")
        words, command = words[:place], words[place + 1 :]
    try:
        code = root().main(words, prog_name=PROGRAM, complete_var=COMPLETE, standalone_mode=False, obj=command)
        sys.stdout.flush()
    except SchedulerError as error:
        return told(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else the interpreter's last flush fails again
        return PIPE_CLOSED
    except SystemExit as end:  # the shell's questions are answered so
        return int(end.code or 0)
    except typer.TyperException as error:
        complain(error.format_message(), f"`{_help_of(words)}` tells how.")
        return INVALID
    return int(code or 0)


def _help_of(words: Sequence[str]) -> str:
    verb = f" {words[0]}" if words and words[0] in VERBS else ""
    return f"{PROGRAM}{verb} --help"


def _nothing() -> None:
    """The group itself does nothing."""
