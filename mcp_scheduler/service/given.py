"""What a task was given to do, to be read by people: lists and forecasts have only the kind of call."""

from __future__ import annotations

import json
import shlex
from typing import Any, Final

_LONGEST: Final = 4000  # characters that are told


def given(payload: bytes) -> tuple[str, str]:
    """The line of a command as a shell would read it, or the arguments of a function as JSON; and the command's folder.
    Both are "" where there is nothing of it. Values of variables are not told: they may be secrets."""
    call: dict[str, Any] = json.loads(payload)
    words: list[Any] = call.get("command") or []
    arguments: Any = call.get("arguments")
    if words:
        text = " ".join(shlex.quote(word) if isinstance(word, str) else _as_json(word) for word in words)
    else:
        text = _as_json(arguments) if arguments else ""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…", call.get("cwd", "")


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
