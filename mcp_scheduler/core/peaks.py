"""The most memory that each tenant was ever seen to use on one device: what forecasts learn from."""

from __future__ import annotations

from collections.abc import Iterable


class Peaks:
    """Fed from `Devices.uses` after each look. Peaks between two looks are missed: they are lower bounds."""

    __slots__ = ("_peaks",)

    def __init__(self) -> None:
        self._peaks: dict[str, int] = {}

    def note(self, uses: Iterable[tuple[str, str, int]]) -> None:
        for tenant, _, amount in uses:
            if amount > self._peaks.get(tenant, 0):
                self._peaks[tenant] = amount

    def of(self, tenant: str) -> int | None:
        """Bytes on its fullest device; None if it was never seen to use any."""
        return self._peaks.get(tenant)

    def end(self, tenant: str) -> int | None:
        """The final peak of a tenant that has ended; it is forgotten."""
        return self._peaks.pop(tenant, None)
