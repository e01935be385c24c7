"""submit: one task, a function or a command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from mcp_scheduler.cli import arguments, options, out, waiting
from mcp_scheduler.cli.completion import complete_function, complete_task
from mcp_scheduler.cli.connect import engine
from mcp_scheduler.cli.failures import SUCCESS
from mcp_scheduler.cli.text import Json, eta, for_people, note, one_line
from mcp_scheduler.errors import InvalidRequest

_COMMAND: Final = "submit -- python train.py"


def submit(
    context: typer.Context,
    function: Annotated[
        str | None,
        typer.Argument(
            metavar="FUNCTION",
            help="module.function. A command goes behind `--` instead.",
            autocompletion=complete_function,
        ),
    ] = None,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Arguments: key=value, a JSON object, or @FILE with one."),
    ] = None,
    *,
    needs: Annotated[
        list[str] | None, typer.Option(metavar="NAME=AMOUNT", help="What it needs: cpus=2,memory=4GiB. Repeatable.")
    ] = None,
    after: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Start after this task succeeded. Repeatable.", autocompletion=complete_task),
    ] = None,
    priority: Annotated[
        int | None, typer.Option(metavar="N", min=-100, max=100, help="Higher runs earlier; 0 is usual.")
    ] = None,
    retry: Annotated[
        str | None, typer.Option(metavar="N|JSON", help="At most so many attempts, or a retry object.")
    ] = None,
    timeout: Annotated[str | None, typer.Option(metavar="TIME", help="End an attempt after this: 90s, 5m, 2h.")] = None,
    idle_timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="End an attempt that has been silent for so long.")
    ] = None,
    start_after: Annotated[
        str | None, typer.Option(metavar="TIME", help="Not before: 10m from now, or an ISO 8601 time with its zone.")
    ] = None,
    deadline: Annotated[str | None, typer.Option(metavar="TIME", help="To be done by: as --start-after.")] = None,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="A name; the id begins with it.")] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="A tag. Repeatable.")] = None,
    key: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Idempotency key: the same key gives the same task.")
    ] = None,
    reads: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Runs beside other readers of this only.")
    ] = None,
    writes: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Runs alone on this. Repeatable.")] = None,
    every: Annotated[str | None, typer.Option(metavar="TIME", help="Again and again: 30s, 15m, 1h, 1d.")] = None,
    cron: Annotated[
        str | None, typer.Option(metavar="LINE", help='At the times of cron: "0 3 * * 1-5 Europe/Berlin".')
    ] = None,
    catch_up: Annotated[
        str | None, typer.Option(metavar="skip|one|all", help="What becomes of missed times. Default: one.")
    ] = None,
    cache: Annotated[bool, typer.Option("--cache", help="Take the result of an equal call, if there is one.")] = False,
    replicas: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=16, help="So many copies at once; the first success counts.")
    ] = None,
    hedge: Annotated[bool, typer.Option("--hedge", help="One copy more when it takes unusually long.")] = False,
    on_failure: Annotated[
        str | None, typer.Option(metavar="JSON", help="A task that undoes it, run after its final failure.")
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="PATH", help="A file, folder or pattern, kept as it is now. Repeatable."),
    ] = None,
    hold: Annotated[bool, typer.Option("--hold", help="Hold it back until `resume`.")] = False,
    cwd: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Working folder of a command. Default: this one.")
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=VALUE]", help="Variable for it; NAME alone takes yours along. Repeatable."),
    ] = None,
    ranks: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Start the command as N ranks of a gang, as torchrun does.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end; exit codes as of `wait`.")] = False,
    as_json: options.AsJson = False,
    home: options.Home = None,
    python: options.Python = None,
    functions: options.Functions = None,
    principal: options.As = "",
) -> int:
    """Submit a task: a function or a command.

    `submit tools.train lr=0.1` calls a function, `submit --needs gpus=1 -- python train.py` runs a command. The task's
    id is printed once it is safely stored.
    """
    command: list[str] | None = context.obj
    _one_call(function, command)
    task: Json = {
        "function": function,
        "arguments": arguments.function_arguments(words or ()) if function else None,
        "command": command,
        "needs": arguments.pairs(needs or (), "--needs"),
        "after": after,
        "priority": priority,
        "retry": None if retry is None else arguments.retry(retry),
        "timeout": timeout,
        "idle_timeout": idle_timeout,
        "start_after": None if start_after is None else arguments.moment(start_after),
        "deadline": None if deadline is None else arguments.moment(deadline),
        "name": name,
        "tags": tag,
        "idempotency_key": key,
        "reads": reads,
        "writes": writes,
        "every": every,
        "cron": cron,
        "catch_up": catch_up,
        "on_failure": None if on_failure is None else arguments.task(on_failure, "--on-failure"),
        "cache": cache,
        "inputs": inputs,
        "replicas": replicas,
        "hedge": hedge,
        "hold": hold,
        "cwd": None if cwd is None else str(cwd.absolute()),
        "env": arguments.variables(env or ()),
        "ranks": ranks,
    }
    with engine(home, python=python, functions=functions or (), principal=principal) as client:
        answer = client.call("submit", {field: value for field, value in task.items() if _is_said(field, value)})
        made: Json = answer["tasks"][0] if answer.get("tasks") else answer["group"]
        if not wait or not as_json:
            _tell(made, as_json)
        if not wait:
            return SUCCESS
        return waiting.follow(client, waiting.Wanted((made["id"],)), as_json=as_json)


def _one_call(function: str | None, command: list[str] | None) -> None:
    if function is not None and command is not None:
        raise InvalidRequest("There is a function and a command.", hint="Give one of the two; options go before `--`.")
    if function is not None and (any(mark in function for mark in " /") or Path(function).exists()):
        raise InvalidRequest(f"'{function}' is no name of a function.", hint=f"A command goes behind `--`: {_COMMAND}.")
    if function is None and not command:
        raise InvalidRequest(
            "There is nothing to run.",
            hint=f"Give module.function with key=value arguments, or a command behind `--`: {_COMMAND}.",
        )


def _is_said(field: str, value: Any) -> bool:
    """Whether the option was given. No arguments and priority 0 are something; False and empty lists are not."""
    return bool(value) or (field in ("arguments", "priority") and value is not None)


def _tell(task: Json, as_json: bool) -> None:
    if as_json:
        out.as_json(task)
        return
    out.line(task["id"])
    if out.on_terminal():
        state = "already there, " + task["state"] if task.get("duplicate") else task["state"]
        done = f"done in {eta(task)}" if eta(task) else ""
        out.aside(" · ".join(part for part in (state, note(task), done, f"mcp-scheduler wait {task['id']}") if part))
    if task.get("hint"):
        out.aside(f"hint: {one_line(for_people(task['hint']))}")
