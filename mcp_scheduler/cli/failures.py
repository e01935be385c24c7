"""How a verb ends badly: one line `error:`, one line `hint:` on standard error, and a stable exit code."""

from __future__ import annotations

from typing import Final

from mcp_scheduler.cli import out
from mcp_scheduler.cli.text import for_people, one_line, printable
from mcp_scheduler.errors import Conflict, InvalidRequest, SchedulerError

SUCCESS: Final = 0
TASK_FAILED: Final = 1  # the verb did its work; a task did not succeed (doctor: something is wrong)
INVALID: Final = 2  # the request was refused: repeating it as it stands changes nothing
UNAVAILABLE: Final = 3  # no engine, or not right now: the same request may succeed later
TIME_UP: Final = 124  # as timeout(1)
INTERRUPTED: Final = 130  # 128 + SIGINT
PIPE_CLOSED: Final = 141  # 128 + SIGPIPE


def told(error: SchedulerError) -> int:
    """Write the error; answers with the exit code."""
    complain(error.message, error.hint)
    return INVALID if isinstance(error, (InvalidRequest, Conflict)) else UNAVAILABLE


def complain(message: str, hint: str = "") -> None:
    """`error:` and, where there is one, `hint:`, each on its own line; the lines of a log follow theirs indented."""
    out.aside(f"error: {one_line(message)}")
    if hint:
        first, *others = for_people(hint).splitlines()
        out.aside("\n      ".join([f"hint: {printable(first)}", *(printable(line) for line in others)]))
