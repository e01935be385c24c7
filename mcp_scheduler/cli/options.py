"""Options and arguments that several verbs share, said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mcp_scheduler.cli.completion import complete_task

Home = Annotated[
    Path | None,
    typer.Option("--home", metavar="DIR", help="Data folder. Default: $MCP_SCHEDULER_HOME, else the user's own."),
]
Python = Annotated[
    str | None,
    typer.Option(
        "--python", metavar="PATH", help="Interpreter that runs your functions. Default: the virtual environment's."
    ),
]
Functions = Annotated[
    list[str] | None,
    typer.Option("--functions", metavar="FILE_OR_MODULE", help="Where your functions are. Repeatable."),
]
As = Annotated[str, typer.Option("--as", metavar="NAME", help="On whose behalf: tasks, keys and fair share go by it.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output, and nothing else there.")]
TaskId = Annotated[str, typer.Argument(metavar="ID", help="Id of a task.", autocompletion=complete_task)]
TaskIds = Annotated[
    list[str], typer.Argument(metavar="ID", help="Ids of tasks or groups.", autocompletion=complete_task)
]
