"""demo: see it work, on real input, with the engine killed in the middle."""

from __future__ import annotations

from typing import Annotated

import typer


def demo(
    files: Annotated[int, typer.Option("--files", metavar="N", min=0, help="At most so many files; 0 is all.")] = 0,
) -> int:
    """See it work: an agent's session with a crash in it.

    A real MCP client analyses the source of Python's standard library in a home of its own, which goes away afterwards.
    """
    from mcp_scheduler.demo import session  # noqa: PLC0415 - it brings a whole MCP client

    return session.main(files)
