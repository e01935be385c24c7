"""How large a task's input is, as far as that can be told before it runs: its arguments, and the files they name.

A forecast wants the order of magnitude, so the size counts half powers of two; a thousand small arguments cost nothing,
and only the first few texts that look like paths are looked up.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from math import log2
from typing import Any, Final, cast

_LOOKED_UP: Final = 8  # files for each task
_LOOKED_AT: Final = 64  # values for each task
_LONGEST_PATH: Final = 1024
_NUMBERS: Final = frozenset({int, float, bool, type(None)})  # and the like: they name no file


def half_powers(count: int) -> int:
    """Bytes as a number of half powers of two; 0 for none."""
    return round(2.0 * log2(count)) if count > 1 else 0


def size_of(call: Mapping[str, Any], payload: int, folder: str) -> int:
    """The size of a call whose JSON has `payload` bytes; relative paths begin at `folder`."""
    values: list[Any] = list(cast("Sequence[Any]", call.get("command", ())))[1:]
    values += cast("Mapping[str, Any]", call.get("arguments", {})).values()
    if all(value.__class__ in _NUMBERS for value in values):
        return half_powers(payload)
    files = islice(_texts(values), _LOOKED_UP)
    return half_powers(payload + sum(_bytes_of(os.path.join(folder, text)) for text in files))


def _texts(values: list[Any]) -> Iterator[str]:
    """Texts that look like names of files, in nested lists and objects too, of the first values."""
    waiting = values[::-1]
    for _ in range(_LOOKED_AT):
        if not waiting:
            return
        value = waiting.pop()
        if isinstance(value, str):
            if len(value) <= _LONGEST_PATH and ("/" in value or "." in value) and "\0" not in value:
                yield value
        elif isinstance(value, list):
            waiting += cast("list[Any]", value)[:_LOOKED_AT][::-1]
        elif isinstance(value, dict):
            waiting += list(cast("dict[str, Any]", value).values())[:_LOOKED_AT][::-1]


def _bytes_of(path: str) -> int:
    """The size of a regular file; 0 for everything else."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0
