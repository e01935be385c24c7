"""run: a command through the scheduler as if it ran here: its output, its exit code."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from mcp_scheduler.cli import arguments, options, out
from mcp_scheduler.cli.connect import engine
from mcp_scheduler.cli.failures import INTERRUPTED, SUCCESS, TASK_FAILED, TIME_UP
from mcp_scheduler.cli.logs import Reading, follow_to_end
from mcp_scheduler.cli.text import Json
from mcp_scheduler.owner import OwnerClient

CANNOT_RUN: Final = 126  # as a shell says it
_CODES: Final = {"timeout": TIME_UP, "idle_timeout": TIME_UP, "rejected": CANNOT_RUN}
_ENOUGH: Final = 3  # times Ctrl-C after which we leave at once


def run(
    context: typer.Context,
    *,
    needs: Annotated[
        list[str] | None, typer.Option(metavar="NAME=AMOUNT", help="What it needs: cpus=2,memory=4GiB. Repeatable.")
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="A name; the id begins with it.")] = None,
    timeout: Annotated[str | None, typer.Option(metavar="TIME", help="End it after this: 90s, 5m, 2h.")] = None,
    idle_timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="End it when it has been silent for so long.")
    ] = None,
    retry: Annotated[
        str | None, typer.Option(metavar="N|JSON", help="At most so many attempts, or a retry object.")
    ] = None,
    priority: Annotated[
        int | None, typer.Option(metavar="N", min=-100, max=100, help="Higher runs earlier; 0 is usual.")
    ] = None,
    cwd: Annotated[Path | None, typer.Option(metavar="DIR", help="Working folder. Default: this one.")] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=VALUE]", help="Variable for it; NAME alone takes yours along. Repeatable."),
    ] = None,
    ranks: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Start the command as N ranks of a gang, as torchrun does.")
    ] = None,
    home: options.Home = None,
    python: options.Python = None,
    principal: options.As = "",
) -> int:
    """Run a command through the scheduler, and follow it.

    `run --needs gpus=1 python train.py`: its output appears here, and its exit code is ours (128 + N for signal N,
    124 for a timeout, 126 where it could not be started). Ctrl-C twice cancels it; whatever happens to this terminal
    otherwise, the command goes on.
    """
    command = arguments.command(context.args, context.obj, "run python train.py")
    task: Json = {
        "command": command,
        "needs": arguments.pairs(needs or (), "--needs"),
        "name": name,
        "timeout": timeout,
        "idle_timeout": idle_timeout,
        "retry": None if retry is None else arguments.retry(retry),
        "priority": priority,
        "cwd": None if cwd is None else str(cwd.absolute()),
        "env": arguments.variables(env or ()),
        "ranks": ranks,
    }
    with engine(home, python=python, principal=principal) as client:
        made = client.call("submit", {field: value for field, value in task.items() if value or value == 0})
        return _follow(client, made["tasks"][0]["id"])


def _follow(client: OwnerClient, task_id: str) -> int:
    interrupts = Interrupts(client, task_id)
    former = signal.signal(signal.SIGINT, interrupts.count)
    try:
        out.aside(f"{task_id} · Ctrl-C twice cancels it; it goes on without this terminal.")
        ended = follow_to_end(Reading(client, task_id, None, None, {"stdout": 0, "stderr": 0}), interrupts.heed)
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        signal.signal(signal.SIGINT, former)
    return exit_code(ended, client)


class Interrupts:
    """Ctrl-C: the first is answered with what the second does. They are acted on between two questions to the engine,
    never in the middle of one."""

    def __init__(self, client: OwnerClient, task_id: str) -> None:
        self._client, self._id = client, task_id
        self._pressed = self._heeded = 0

    def count(self, *_: Any) -> None:
        self._pressed += 1
        if self._pressed >= _ENOUGH:
            raise KeyboardInterrupt

    def heed(self) -> None:
        """Act on what was pressed since the last time."""
        pressed, before = self._pressed, self._heeded
        self._heeded = pressed
        if pressed > 1 and before <= 1:
            self._client.call("cancel", {"ids": [self._id]})
            out.aside("Cancelled; waiting for its end.")
        elif pressed == 1 and before == 0:
            out.aside(f"Ctrl-C again cancels {self._id}. To leave it alone: close this terminal, or press Ctrl-\\.")


def exit_code(task: Json, client: OwnerClient) -> int:
    """As a shell would have it, had the command run here."""
    if task["state"] == "succeeded":
        return SUCCESS
    if task["state"] == "cancelled":
        return INTERRUPTED
    if task.get("reason") in _CODES:
        return _CODES[task["reason"]]
    attempts: list[Json] = client.call("get", {"id": task["id"], "detail": True}).get("attempts", [])
    last: Json = attempts[-1] if attempts else {}
    if last.get("signal"):
        return 128 + int(last["signal"])
    return int(last.get("exit_code") or TASK_FAILED)
