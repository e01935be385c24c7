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
    outcome = Outcome(
        seconds=get("seconds", 0.0), memory_peak=get("memory_peak", 0), fingerprint=get("fingerprint", "")
    )
    if result is not None:
        outcome.result = result.encode()
    outcome.result_size = get("result_size", 0)
    if "exit_code" in told or "signal" in told:
        outcome.exit_code, outcome.signal = get("exit_code"), get("signal")
    if "stdout_bytes" in told:  # of a command
        outcome.stdout_bytes, outcome.stderr_bytes = told["stdout_bytes"], get("stderr_bytes", 0)
    if "result_file" in told:
        outcome.result_file = told["result_file"]
    if get("reason") is not None:
        outcome.reason = REASONS[told["reason"]]
        outcome.error = get("error", "")
    return outcome
