"""How long something lasts, as a person says it."""

from __future__ import annotations

from typing import Final

_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60))
_FEW: Final = 9.5  # seconds; below that tenths are worth telling


def span(seconds: float) -> str:
    """`1.5 s` · `45 s` · `10 min` · `17 h 3 min` · `2 d`: two units at most, and none that is zero. What is over counts
    as 0 s."""
    left = max(0.0, seconds)
    if left < _FEW:
        return f"{left:.2g} s"
    whole = round(left)
    for number, (unit, length) in enumerate(_UNITS):
        if whole >= length:
            smaller, size = (*_UNITS, ("s", 1))[number + 1]
            rest = whole % length // size
            return f"{whole // length} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"
