"""Texts that a task printed, made harmless for a model to read: no escape sequences, no control characters."""

from __future__ import annotations

import re
from typing import Final

# ECMA-48: control sequences (CSI), operating system commands (OSC) and the like up to their end, single escapes.
_ESCAPES: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|\x1b[ -/]*[0-~]?"
    r"|\x9b[0-?]*[ -/]*[@-~]"
)
# C0 and C1 controls, changes of direction, invisible tags (they hide text from people), halves of characters.
_CONTROLS: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
_OVERWRITTEN: Final = re.compile(r"[^\n]*\r(?=[^\r\n])")


def plain_text(text: str) -> str:
    """`text` without escape sequences, control and direction characters. Of a line that was written over by carriage
    returns (a progress bar), what a terminal would show at the end is left."""
    if text.isascii() and text.isprintable():
        return text
    text = _ESCAPES.sub("", text).replace("\r\n", "\n")
    return _CONTROLS.sub("", _OVERWRITTEN.sub("", text))


def one_line(text: str, longest: int) -> str:
    """`text` as one line of at most `longest` characters."""
    if not text:
        return ""
    text = " ".join(plain_text(text).split())
    return text if len(text) <= longest else text[: max(longest - 1, 0)].rstrip() + "…"
