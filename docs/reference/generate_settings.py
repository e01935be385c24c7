"""Writes settings.md from mcp_scheduler/settings.py."""
# ruff: noqa: INP001 - a script beside the page that it writes, not a package

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mcp_scheduler.settings import Settings

INTRODUCTION = """\
# Settings

<!-- Written by generate.py from mcp_scheduler/settings.py: change the program, then run `make docs`. -->

Settings are read once, when an engine starts: change them, say `mcp-scheduler stop`, and the next client starts an
engine that knows them. They stand in `config.toml` in the home folder, and everything has a default, so the file need
not exist:

```toml
[pool]
cpus = 4
resources = { licence = 2 }

[queue]
timeout = 3600
```

An environment variable wins over the file: `MCP_SCHEDULER_POOL__CPUS=4` is `cpus` in `[pool]`. It counts where the
engine is *started*, which may be another client than yours; the file counts always. A name that is not on this page is
refused when the engine starts, and the message says which.

`MCP_SCHEDULER_HOME` (or `--home`) names the home folder itself; the default is `mcp-scheduler` in `$XDG_DATA_HOME`,
which is `~/.local/share/mcp-scheduler` for most people.
"""
SAME_TYPE = {Any: "value", float: "number", int: "whole number", str: "text", bool: "true or false"}


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for name, field in Settings.model_fields.items():
        room: Any = field.annotation
        parts.append(f"## [{name}]\n\n{_said(room.__doc__)}\n\n" + "\n".join(_table(room)))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def names() -> list[str]:
    """Every setting, as `room.name`."""
    rooms: dict[str, Any] = {name: field.annotation for name, field in Settings.model_fields.items()}
    return [f"{room}.{name}" for room, model in rooms.items() for name in model.model_fields]


def _table(room: type[BaseModel]) -> Iterator[str]:
    yield "| setting | kind | default | meaning |"
    yield "|---|---|---|---|"
    for name, field in room.model_fields.items():
        yield f"| `{name}` | {_kind(field.annotation)} | {_default(field)} | {_said(field.description)} |"


def _kind(annotation: Any) -> str:
    """What may be written there, in words."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is types.UnionType or origin is typing.Union:
        return " or ".join(_kind(part) for part in inner if part is not types.NoneType)
    if origin is typing.Annotated:
        return _kind(inner[0])
    if origin is typing.Literal:
        return "one of " + ", ".join(f"`{choice}`" for choice in inner)
    if origin in (list, tuple):
        return f"list of {_several(inner[0])}"
    if origin is dict:
        return f"table of {_several(inner[1])} by name"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table of " + ", ".join(f"`{name}`" for name in annotation.model_fields)
    return SAME_TYPE.get(annotation, str(annotation))


def _several(annotation: Any) -> str:
    first, _, rest = _kind(annotation).partition(" of ")
    return f"{first}s of {rest}" if rest else f"{first}s"


def _default(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    if isinstance(value, (list, tuple, dict)) and not value:
        return "empty"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _said(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")
