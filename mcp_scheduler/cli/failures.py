"""How a verb ends badly: one line `error:`, one line `hint:` on standard error, and a stable exit code."""

from __future__ import annotations

from typing import Final

from mcp_scheduler.cli import out
from mcp_scheduler.cli.text import one_line
from mcp_scheduler.errors import Conflict, InvalidRequest, SchedulerError

SUCCESS: Final = 0
TASK_FAILED: Final = 1  # the verb did its work; a task did not succeed (doctor: something is wrong)
INVALID: Final = 2  # the request was refused: repeating it as it stands changes nothing
UNAVAILABLE: Final = 3  # no engine, or not right now: the same request may succeed later
TIME_UP: Final = 124  # as timeout(1)
INTERRUPTED: Final = 130  # 128 + SIGINT
PIPE_CLOSED: Final = 141  # 128 + SIGPIPE

_HINTS: Final = {  # the engine's own hints name tools of MCP; a person at a shell has verbs
    "unknown_task": "`mcp-scheduler list` shows the ids of your tasks.",
    "unknown_function": "`mcp-scheduler functions` shows what can be called; --functions FILE adds more.",
    "unsatisfiable": "`mcp-scheduler nodes` shows what there is.",
}


def told(error: SchedulerError) -> int:
    """Write the error; answers with the exit code."""
    hint = _HINTS.get(error.code, error.hint) if error.hint in ("", type(error).hint) else error.hint
    complain(error.message, hint)
    return INVALID if isinstance(error, (InvalidRequest, Conflict)) else UNAVAILABLE


def complain(message: str, hint: str = "") -> None:
    """`error:` and, where there is one, `hint:`, each on its own line."""
    out.aside(f"error: {one_line(message)}")
    if hint:
        out.aside(f"hint: {one_line(hint)}")
