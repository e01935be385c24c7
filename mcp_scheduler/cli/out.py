"""The two streams: standard output carries what was asked for, standard error everything said about it."""

from __future__ import annotations

import io
import json
import shutil
import sys
import textwrap
from typing import Any


def line(text: str = "") -> None:
    """One line of what was asked for."""
    sys.stdout.write(text + "\n")


def aside(text: str) -> None:
    """One line to the person, not to the program that reads the pipe."""
    sys.stdout.flush()
    sys.stderr.write(text + "\n")


def flush() -> None:
    """Hand over what was written so far: in a pipe it would wait for more."""
    sys.stdout.flush()


def hanging(head: str, text: str, width: int | None = None) -> None:
    """`text` behind `head`, which takes `width` columns (default: its length); on a terminal what does not fit goes on
    below the text's beginning."""
    if not on_terminal():
        line(head + text)
        return
    indent = len(head) if width is None else width
    lines = textwrap.wrap(text, max(20, shutil.get_terminal_size().columns - indent), break_on_hyphens=False) or [""]
    line(head + ("\n" + " " * indent).join(lines))


def as_json(value: Any) -> None:
    """`value` as JSON: all that a reading verb with --json writes to standard output."""
    speaks_all = (sys.stdout.encoding or "").lower().startswith("utf")
    line(json.dumps(value, ensure_ascii=not speaks_all, indent=2))


def spare_strange_letters() -> None:
    """Where the streams speak another language than UTF-8, a letter that they have not is a question mark, and no
    reason to end."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def on_terminal() -> bool:
    """Whether a person looks at standard output."""
    return sys.stdout.isatty()
