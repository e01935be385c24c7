"""Processes of ours that somebody has stopped by a signal: what is with them neither goes on nor ends by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.executors.local import tree

_TOLD: Final = 5  # attempts with one process that are named


class Keeper(Protocol):
    """Who keeps attempts: the link to a worker, or to a shim of commands. `pids` tells its processes by what they are,
    once they have said hello, or were found out."""

    pids: dict[str, int]


class Frozen:
    """Looks when it is asked; `where` tells who keeps each attempt, `unheard` the same of those that an earlier engine
    has left, as long as their keeper has not spoken to this one."""

    def __init__(self, where: Mapping[AttemptId, Keeper]) -> None:
        self._where = where
        self.unheard: dict[AttemptId, Keeper] = {}

    def of(self, attempt: AttemptId) -> str:
        """Which process the attempt waits for, and what to do about it; "" where none is stopped."""
        keeper = self._where.get(attempt) or self.unheard.get(attempt)
        told = _stopped(keeper) if keeper is not None else None
        return "" if told is None else f"hangs: {_told(*told)}"

    def all(self) -> list[str]:
        """One line for each stopped process that anything is with."""
        kept: dict[Keeper, list[str]] = {}
        for attempt, keeper in (*self._where.items(), *self.unheard.items()):
            kept.setdefault(keeper, []).append(attempt.task)
        lines: list[str] = []
        for keeper, tasks in kept.items():
            if (told := _stopped(keeper)) is not None:
                more = f" and {len(tasks) - _TOLD} more" if len(tasks) > _TOLD else ""
                lines.append(f"{', '.join(tasks[:_TOLD])}{more} cannot go on: {_told(*told)}.")
        return lines


def _stopped(keeper: Keeper) -> tuple[str, int] | None:
    return next(((what, pid) for what, pid in keeper.pids.items() if tree.is_stopped(pid)), None)


def _told(what: str, pid: int) -> str:
    return f"its {what}, process {pid}, was stopped by a signal; `kill -CONT {pid}` lets it go on"
