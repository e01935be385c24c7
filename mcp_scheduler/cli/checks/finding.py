"""What a check found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["OK", "WARN", "FAIL"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `todo` is what to do about it ("" where nothing is to be done)."""

    level: Level
    what: str
    text: str
    todo: str = ""
