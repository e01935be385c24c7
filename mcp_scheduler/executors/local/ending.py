"""How a worker ended, and what that means for the calls that it had begun: the text of crashes and exit records."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp_scheduler.executors.local import records
from mcp_scheduler.sdk.now import Now, Running, boot_time

OVERDUE = 1.0  # seconds that a deadline may pass before the shim, not the engine, acts on it
_LOST = "The worker ended after this call had ended, and before its result was kept."
_STOPPED = {
    "cancelled": "The call was cancelled.",
    "timeout": "The call ran longer than its timeout.",
    "lost": "The device that it ran on is gone or broken.",
    "idle_timeout": "The call gave no sign of life for longer than its idle timeout.",
}


@dataclass(frozen=True, slots=True)
class End:
    """The end of a worker's own process. `failure` tells why it never started."""

    exit_code: int | None = None
    signum: int | None = None
    memory_peak: int = 0
    oom: bool = False
    failure: str = ""

    @classmethod
    def of(cls, status: int, memory_peak: int, oom_seen: bool) -> End:
        """From the kernel's wait status. A SIGKILL while the control group counted an OOM kill was the OOM killer."""
        code = os.waitstatus_to_exitcode(status)
        if code >= 0:
            return cls(exit_code=code, memory_peak=memory_peak)
        return cls(signum=-code, memory_peak=memory_peak, oom=oom_seen and -code == signal.SIGKILL)

    def told(self, said: str) -> dict[str, Any]:
        """For the engine. `said` is the end of what the worker printed outside of any call."""
        return {
            "exit_code": self.exit_code,
            "signal": self.signum,
            "oom": self.oom,
            "failure": self.failure,
            "text": self.text(),
            "said": said,
        }

    def text(self) -> str:
        """One sentence for a reader."""
        if self.failure:
            return f"The worker could not be started: {self.failure}."
        if self.oom:
            return "The worker was killed by the kernel's out-of-memory killer (SIGKILL)."
        if self.signum is not None:
            return f"The worker was killed by signal {self.signum} ({signal_name(self.signum)})."
        return f"The worker exited with code {self.exit_code}."


def signal_name(signum: int) -> str:
    """As the manuals call it."""
    try:
        return signal.Signals(signum).name
    except ValueError:  # a real-time signal without a name of its own
        return f"SIGRTMIN+{signum - signal.SIGRTMIN}"


def is_overdue(running: Running) -> bool:
    """The deadline has passed, by more than an engine would have needed to act on it."""
    return running.deadline > 0 and boot_time() > running.deadline + OVERDUE


def write_records(attempts: Path, now: Now, end: End, stopped: tuple[int, str]) -> None:
    """A durable record for every call that had begun and has none: the running one broke off, others ended as the now
    file says; what it does not say is lost unless an engine holds it already. `stopped` is the sequence and reason of
    the last stop."""
    running, outcomes = now.running(), now.outcomes()
    for attempt in now.begun():
        if attempt in outcomes:
            records.write(attempts, attempt, json.loads(outcomes[attempt]))
        elif running is not None and attempt == running.attempt:
            records.write(attempts, attempt, _broken_off(running, end, stopped))
        else:
            records.write(attempts, attempt, lost())


def lost(text: str = "") -> dict[str, Any]:
    """The record of a call of which only its begin is known."""
    return {"reason": "lost", "error": text or _LOST, "at": _wall()}


def _broken_off(running: Running, end: End, stopped: tuple[int, str]) -> dict[str, Any]:
    reason, error = "crashed", f"{end.text()} It was in the middle of this call."
    sequence, asked = stopped
    if sequence == running.sequence and asked in _STOPPED:
        reason, error = asked, f"{_STOPPED[asked]} {end.text()}"
    elif end.oom:
        reason = "out_of_memory"
    return {
        "reason": reason,
        "error": error,
        "exit_code": end.exit_code,
        "signal": end.signum,
        "memory_peak": end.memory_peak,
        "seconds": max(0.0, boot_time() - running.began),
        "at": _wall(),
    }


def _wall() -> float:
    return time.time()  # noqa: TID251 (outside the engine: the record must bear the time of the end itself)
