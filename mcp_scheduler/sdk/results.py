"""What a call returned, as JSON text: small enough to travel, or as a file named by its content."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import hashlib
import json
import os
import re
import sys
from itertools import accumulate
from pathlib import Path, PurePath
from typing import Any, Final

from mcp_scheduler.sdk.durable import sync_folder, write_durably

DEEPEST: Final = 200  # levels of nesting: every JSON reader on the way can follow
HINT: Final = "Write it to a file in current_task().folder and return the file's name."

_TEXTS: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_STEPS: Final = {"[": 1, "{": 1, "]": -1, "}": -1}


class NotJson(Exception):
    """The value cannot be handed on as JSON; the message ends with what to do instead."""


def encode(value: Any) -> str:
    """`value` as compact JSON text. Raises NotJson."""
    if value is None:
        return "null"
    try:  # for a number the encoder takes ten times as long as the number itself
        text = int.__repr__(value) if value.__class__ is int else _ENCODER.encode(value)
    except (TypeError, ValueError) as error:
        raise NotJson(f"The result is not JSON: {error}. {HINT}") from None
    except RecursionError:
        raise NotJson(f"The result is nested too deeply for JSON. {HINT}") from None
    if text.count("[") + text.count("{") > DEEPEST and _depth(text) > DEEPEST:
        raise NotJson(f"The result is nested more than {DEEPEST} levels deep. {HINT}")
    return text


def encoded_bytes(text: str, most: int) -> bytes:
    """The text as UTF-8. NotJson for more than `most` bytes, and for halves of surrogate pairs."""
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raise NotJson(f"The result holds text that is not valid Unicode. {HINT}") from None
    if len(raw) > most:
        raise NotJson(f"The result has {len(raw):,} bytes as JSON, more than the {most:,} allowed. {HINT}")
    return raw


def store(folder: Path, raw: bytes) -> str:
    """Put a large result where its content says; returns the name. On disk when this returns."""
    name = hashlib.sha256(raw).hexdigest()
    target = folder / name[:2] / name
    if not target.parent.exists():
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(folder)
    try:
        os.utime(target)  # a claim: whoever removes what no task has any more leaves it
    except FileNotFoundError:
        write_durably(target, raw)
    else:
        sync_folder(target.parent)  # whoever put it there may not have come so far yet
    return name


def _depth(text: str) -> int:
    return max(accumulate(_STEPS.get(mark, 0) for mark in _TEXTS.sub("", text)), default=0)


def _plainer(value: Any) -> Any:
    """One step from what people return towards JSON; the encoder comes back for what is inside."""
    kind: Any = value.__class__
    if hasattr(kind, "model_dump") and "pydantic" in sys.modules:
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(kind):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(kind)}
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, enum.Enum):
        return value.value
    if "numpy" in sys.modules and isinstance(value, sys.modules["numpy"].generic):
        return value.item()
    raise TypeError(f"there is a {kind.__module__}.{kind.__qualname__} in it")


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plainer)
