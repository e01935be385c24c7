"""How far a command is, by its own words: lines `progress: 0.42 text`, and the bars that tqdm draws."""

from __future__ import annotations

import re
from typing import Final

from mcp_scheduler.plaintext import one_line

KEPT: Final = 1024  # bytes of an unfinished line that the next chunk may finish
LONGEST: Final = 200  # characters of the text

_SAID: Final = re.compile(rb"\s*progress:\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)(.*)", re.DOTALL)
_BAR: Final = re.compile(rb"(.*?)\s*(\d{1,3})%\|[^|]*\|(.*)", re.DOTALL)
_BREAKS: Final = (b"\n", b"\r")


class ProgressReader:
    """Looks through one stream. Looking costs two searches a chunk, however many lines there are: only the last word
    of a chunk counts."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> tuple[float, str] | None:
        """The last word in this chunk: a share of 0..1 and a text; None where there is none."""
        text = self._rest + chunk
        self._rest = text[_line_start(text, len(text)) :][-KEPT:]
        bar, said = text.rfind(b"%|"), _last_whole_line(text, b"progress:")
        found = None
        if bar > said:
            found = _bar(_line(text, bar))
        if found is None and said >= 0:
            found = _said(_line(text, said))
        return found


def _last_whole_line(text: bytes, word: bytes) -> int:
    """Where the word stands for the last time in a line that has its end; -1 for nowhere."""
    return text.rfind(word, 0, _line_start(text, len(text)))


def _line_start(text: bytes, at: int) -> int:
    return max(text.rfind(mark, 0, at) for mark in _BREAKS) + 1


def _line(text: bytes, at: int) -> bytes:
    ends = [end for end in (text.find(mark, at) for mark in _BREAKS) if end >= 0]
    return text[_line_start(text, at) : min(ends, default=len(text))]


def _said(line: bytes) -> tuple[float, str] | None:
    found = _SAID.fullmatch(line[-KEPT:])
    if found is None:
        return None
    number = float(found[1])
    share = number / 100 if found[2] or number > 1 else number
    return min(1.0, share), _text(found[3])


def _bar(line: bytes) -> tuple[float, str] | None:
    found = _BAR.fullmatch(line[-KEPT:])
    if found is None:
        return None
    return min(1.0, int(found[2]) / 100), _text(found[1] + b" " + found[3])


def _text(raw: bytes) -> str:
    return one_line(raw.decode(errors="replace"), LONGEST)
