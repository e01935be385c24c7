"""From the words of workers and exit records to the core's `Outcome`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mcp_scheduler.core.events import Outcome
from mcp_scheduler.core.states import Reason

REASONS: Final[dict[str | None, Reason | None]] = {None: None, **{reason.value: reason for reason in Reason}}
STOPPED: Final = frozenset({"cancelled", "timeout", "idle_timeout", "crashed", "lost"})  # the worker ends after these


def outcome_of(told: Mapping[str, Any]) -> Outcome:
    """Absent fields mean nothing of the kind."""
    get = told.get
    result = get("result")
    return Outcome(
        REASONS[get("reason")],
        get("error", ""),
        result.encode() if result is not None else None,
        get("result_file", ""),
        get("result_size", 0),
        get("exit_code"),
        get("signal"),
        get("seconds", 0.0),
        get("memory_peak", 0),
        get("stdout_bytes", 0),
        get("stderr_bytes", 0),
        get("fingerprint", ""),
    )
