"""completion: the script by which a shell completes our verbs, options and ids."""

from __future__ import annotations

import os
from typing import Annotated, Literal

import typer


def completion(
    shell: Annotated[
        Literal["bash", "zsh", "fish"],
        typer.Argument(metavar="SHELL", help="bash, zsh or fish: whose language the script is in."),
    ],
) -> None:
    """Print the completion script of a shell.

    For bash put `eval "$(mcp-scheduler completion bash)"` into ~/.bashrc.
    """
    from mcp_scheduler.cli import app  # noqa: PLC0415 - it imports the verbs by name

    os.environ[app.COMPLETE] = (
        f"source_{shell}"  # as the script itself will ask, with `complete_` in place of `source_`
    )
    try:
        app.root().main([], prog_name=app.PROGRAM, complete_var=app.COMPLETE)
    finally:
        del os.environ[app.COMPLETE]
