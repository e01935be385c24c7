"""Whether the runs of a key have changed their nature: ADWIN by river (Bifet and Gavaldà, 2007)."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportMissingImports=false

from __future__ import annotations

from collections.abc import Sequence

from river.drift import ADWIN


def keep(values: Sequence[float]) -> int | None:
    """How many of the last values are of one kind; None where all are."""
    watch = ADWIN(delta=0.002)
    for value in values:
        watch.update(value)
    width = int(watch.width)
    return width if width < len(values) else None
