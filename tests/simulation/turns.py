"""Commands that stand still in the world, and functions that were asked to give way."""

from __future__ import annotations

from collections.abc import Mapping

from mcp_scheduler.core.ids import AttemptId


class Turns:
    """`still`: since when an attempt stands still; `stood`: seconds for which it has before; `asked`: functions."""

    def __init__(self) -> None:
        self.still: dict[AttemptId, float] = {}
        self.stood: dict[AttemptId, float] = {}
        self.asked: set[AttemptId] = set()
        self.count = 0

    def pause(self, attempt: AttemptId, now: float) -> None:
        assert attempt not in self.still, f"{attempt} stands still already."
        self.still[attempt] = now
        self.count += 1

    def proceed(self, attempt: AttemptId, now: float) -> None:
        assert attempt in self.still, f"{attempt} shall go on, and does not stand still."
        self.stood[attempt] = self.stood.get(attempt, 0.0) + max(0.0, now - self.still.pop(attempt))

    def engine_dies(self, now: float) -> None:
        """Their shims let them go on."""
        for attempt in list(self.still):
            self.proceed(attempt, now)
        self.asked.clear()

    def over(self, attempt: AttemptId) -> None:
        self.still.pop(attempt, None)
        self.asked.discard(attempt)

    def held(self, attempts: list[AttemptId], needs: Mapping[str, int], name: str) -> int:
        """What a slot with these attempts takes of a resource just now."""
        is_still = any(attempt in self.still for attempt in attempts)
        return 0 if is_still and name == "cpus" else needs.get(name, 0)

    def look_at_timeout(self, attempt: AttemptId, began: float, timeout: float | None, now: float) -> None:
        ran = now - began - self.stood.get(attempt, 0.0)
        assert attempt not in self.still, f"{attempt} stands still, and is stopped for its timeout."
        assert timeout is None or ran >= timeout - 1e-3, f"{attempt} is stopped after {ran} of {timeout} s."
