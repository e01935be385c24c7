"""How large a task's input is, as far as that can be told before it runs: its arguments, and the files they name.

A forecast wants the order of magnitude, so the size counts half powers of two; a thousand small arguments cost nothing,
and only the first few texts that look like paths are looked up.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from itertools import islice
from math import log2
from typing import Any, Final, cast

from mcp_scheduler.requests import TaskSpec

_LOOKED_UP: Final = 8  # files for each task
_LOOKED_AT: Final = 64  # values for each task
_LONGEST_PATH: Final = 1024
_NUMBERS: Final = frozenset({int, float, bool, type(None)})  # and the like: they name no file


def half_powers(count: int) -> int:
    """Bytes as a number of half powers of two; 0 for none."""
    return round(2.0 * log2(count)) if count > 1 else 0


def texts_of(spec: TaskSpec) -> list[str]:
    """What in the call looks like the name of a file."""
    if spec.command is None and all(value.__class__ in _NUMBERS for value in (spec.arguments or {}).values()):
        return []
    values: list[Any] = []
    if isinstance(spec.command, str):
        values += spec.command.split()[1:]
    elif spec.command is not None:
        values += spec.command[1:]
    values += (spec.arguments or {}).values()
    return list(islice(_texts(values), _LOOKED_UP))


def files_of(spec: TaskSpec, folder: str) -> list[str]:
    """The places that these texts name; relative ones begin at the command's folder, or else at `folder`."""
    if spec.cwd:
        folder = os.path.join(folder, os.path.expanduser(spec.cwd))
    return [os.path.join(folder, text) for text in texts_of(spec)]


def look_up(specs: Iterable[TaskSpec], folder: str) -> dict[str, int]:
    """The bytes of all files that the specs name. It asks the disk, so it belongs into a thread."""
    places = dict.fromkeys(place for spec in specs for place in files_of(spec, folder))
    return {place: size for place in places if (size := _bytes_of(place))}


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
