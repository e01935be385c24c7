"""Writes docs/reference/cli.md from the command line itself: `python docs/reference/generate_cli.py`."""
# ruff: noqa: INP001 - a script beside the page that it writes, not a package

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mcp_scheduler.cli import app, failures

PAGE = Path(__file__).with_name("cli.md")

INTRODUCTION = """\
# The command line

<!-- Written by generate_cli.py from the program: change the program, then run `make docs`. -->

`mcp-scheduler` without a verb is the MCP server that clients start (`mcp-scheduler --help` tells its options,
`mcp-scheduler help` the verbs). With a verb it is the owner's own door: each verb below is a call to the engine of the
home folder, which is started where none runs (not by `status`, `stop`, `doctor`, `config`, `simulate`, `demo` and
`completion`).

- Standard output carries what was asked for, standard error what is said about it. On a terminal there are tables and a
  live view; in a pipe there are plain lines, never shortened. `--json` gives JSON alone.
- Durations are written `90s`, `5m`, `1h30m`, `2d`, or as a number of seconds; sizes `512MiB`, `2GB`.
- Errors are a line `error: ...`, mostly followed by `hint: ...`, on standard error.
"""

EXIT_CODES = (
    (failures.SUCCESS, "done; for `wait`, `submit --wait`: all tasks succeeded"),
    (failures.TASK_FAILED, "the verb did its work, but a task did not succeed; for `doctor`: something is wrong"),
    (failures.INVALID, "the request was refused; repeating it as it stands changes nothing"),
    (failures.UNAVAILABLE, "no engine, or not right now; the same request may succeed later"),
    (failures.TIME_UP, "`wait --timeout`: time is up, the tasks go on"),
    (failures.INTERRUPTED, "Ctrl-C: the verb ended, the tasks go on"),
    (failures.PIPE_CLOSED, "the reader of the pipe has left"),
)


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION, "\n".join(_exit_codes())]
    root = app.root()
    context = root.make_context(app.PROGRAM, [], resilient_parsing=True)
    for verb in root.list_commands(context):
        command = root.get_command(context, verb)
        parts.append("\n".join(_verb(command, command.make_context(verb, [], parent=context, resilient_parsing=True))))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _exit_codes() -> Iterator[str]:
    yield "| exit code | meaning |"
    yield "|---|---|"
    for code, meaning in EXIT_CODES:
        yield f"| {code} | {meaning} |"


def _verb(command: Any, context: Any) -> Iterator[str]:
    yield f"## {command.name}"
    yield ""
    yield "```console"
    yield " ".join([app.PROGRAM, command.name, *command.collect_usage_pieces(context)])
    yield "```"
    yield ""
    yield command.help
    yield ""
    rows = [row for row in (_parameter(parameter, context) for parameter in command.get_params(context)) if row]
    yield "| argument or option | meaning |"
    yield "|---|---|"
    for names, meaning in rows:
        yield f"| `{names}` | {meaning} |"


def _parameter(parameter: Any, context: Any) -> tuple[str, str] | None:
    """Names and meaning of a parameter, as its own help says them; None for --help, which every verb has."""
    names, meaning = parameter.get_help_record(context)
    if "--help" in names:
        return None
    if parameter.param_type_name == "argument":
        names = parameter.metavar
    return names.replace("|", "\\|"), " ".join(meaning.replace("|", "\\|").split())


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
