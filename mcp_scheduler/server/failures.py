"""Everything that can go wrong in a call, as text that a model can act on: `<what>. <hint>`."""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import dataclass, field
from typing import Any, Final

from mcp_scheduler.errors import InvariantBroken, SchedulerError

LONGEST: Final = 2000  # characters of one message: a failure never floods the context of an agent

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call has no result. `code` is for programs (docs/reference/errors.md), `text` for a reader."""

    code: str
    message: str
    hint: str = ""
    facts: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def text(self) -> str:
        """What was wrong and what to do about it, as sentences."""
        what = self.message.strip()
        if what and what[-1] not in ".!?":
            what += "."
        return f"{what} {self.hint.strip()}".strip()


def failure_of(error: BaseException, where: str) -> Failure:
    """The failure that `error` stands for. `where` names the tool or method, for texts and for the log.

    Errors of the scheduler are told as they are. Anything else is a defect of the program: the client gets an
    incident number, the log gets the traceback under the same number.
    """
    if isinstance(error, SchedulerError) and not isinstance(error, InvariantBroken):
        return Failure(error.code, _bounded(error.message), _bounded(error.hint), error.facts)
    incident = secrets.token_hex(4)
    _log.error("incident %s in %s", incident, where, exc_info=error)
    code = error.code if isinstance(error, SchedulerError) else "internal"
    return Failure(
        code,
        f"{where} failed inside the scheduler (incident {incident}): a defect of the program, not of your request",
        "The engine's log tells more under that number. Repeat the call once; if it fails again, go on without it.",
        {"incident": incident},
    )


def is_our_end(error: BaseException) -> bool:
    """Whether `error` ends this very task, and so must go on its way. (A CancelledError may also come out of somebody
    else's broken future: that is a failure like any other.)"""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0
    return isinstance(error, GeneratorExit)


def _bounded(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
