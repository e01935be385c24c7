"""What the shell asks for in the middle of a command line."""

from __future__ import annotations

from typing import Final

_STATES: Final = (
    "pending", "scheduled", "held", "queued", "running", "retrying", "rolling_back",
    "succeeded", "failed", "cancelled", "skipped",
)  # fmt: skip


def complete_state(incomplete: str) -> list[str]:
    """States that begin like this."""
    return [state for state in _STATES if state.startswith(incomplete)]


def complete_task(incomplete: str) -> list[tuple[str, str]]:
    """Ids of the newest tasks that begin like this, of an engine that runs already."""
    page = _asked("list", {"limit": 100})
    return [(task["id"], task["state"]) for task in page.get("tasks", []) if task["id"].startswith(incomplete)]


def complete_function(incomplete: str) -> list[tuple[str, str]]:
    """Names of functions that begin like this, of an engine that runs already."""
    page = _asked("functions", {"limit": 200})
    return [(f["name"], f.get("summary", "")) for f in page.get("functions", []) if f["name"].startswith(incomplete)]


def _asked(method: str, params: dict[str, object]) -> dict[str, list[dict[str, str]]]:
    from mcp_scheduler.cli.connect import engine  # noqa: PLC0415 - only while completing
    from mcp_scheduler.errors import SchedulerError  # noqa: PLC0415 - as above

    try:
        with engine(None, start=False) as client:
            return client.call(method, params)
    except SchedulerError:
        return {}  # nothing is to be said in the middle of a command line
