"""How much each principal, and each tag of a principal, has used of late: what fair shares are measured by.

Usage is in seconds times the share of the scarcest resource. It halves every hour; what was used is counted as the more
the later it was, which keeps every comparison as it is and needs no work as time passes.
"""

from __future__ import annotations

from typing import Final

HALF_LIFE: Final = 3600.0
_ACCOUNTS: Final = 2048  # that are remembered at least
_SOON_TOO_LARGE: Final = 400  # doublings; a float has room for 1023

Account = tuple[str, str | None]  # principal and tag: "" for tasks without one, None for all of the principal's


class Usage:
    """Decayed usage per account."""

    __slots__ = ("_since", "_used")

    def __init__(self) -> None:
        self._since: float | None = None
        self._used: dict[Account, float] = {}

    def copy(self) -> Usage:
        """The same, to go on by itself."""
        other = Usage()
        other._since, other._used = self._since, dict(self._used)
        return other

    def charge(self, account: Account, amount: float, now: float) -> None:
        """So much was used; a negative amount takes back what was charged before it was known."""
        scale = self._scale(now)
        self._used[account] = max(0.0, self._used.get(account, 0.0) + amount * scale)
        if len(self._used) > 2 * _ACCOUNTS:  # tags are users' texts: there is no end of them
            kept = sorted(self._used, key=lambda one: (one[1] is None, self._used[one]))[-_ACCOUNTS:]
            self._used = {one: self._used[one] for one in kept}

    def of(self, account: Account) -> float:
        """To be compared with others, at one moment."""
        return self._used.get(account, 0.0)

    def share(self, principal: str) -> float:
        """The part of all usage of late that is this principal's, between 0 and 1."""
        whole = sum(used for (_, tag), used in self._used.items() if tag is None)
        return self._used.get((principal, None), 0.0) / whole if whole > 0 else 0.0

    def principals(self) -> list[str]:
        return [name for (name, tag), used in self._used.items() if tag is None and used > 0]

    def _scale(self, now: float) -> float:
        if self._since is None:
            self._since = now
        doublings = (now - self._since) / HALF_LIFE
        if doublings > _SOON_TOO_LARGE:
            self._settle(now, doublings)
            doublings = 0.0
        return 2.0**doublings

    def _settle(self, now: float, doublings: float) -> None:
        """Count from now on; accounts of which nothing is left are forgotten."""
        factor = 2.0 ** -min(doublings, 1000.0)
        self._used = {account: used * factor for account, used in self._used.items() if used * factor > 1e-9}  # noqa: PLR2004 - a nanosecond
        self._since = now
