"""`{"$item": true}` in the template of a map stands for the item, `{"$item": "key"}` for a part of it."""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import ValidationError

from mcp_scheduler import errors
from mcp_scheduler.requests import TaskSpec

ITEM: Final = "$item"


def refuse_in_chunks(what: str, template: TaskSpec) -> None:
    """Many calls are one task: only functions, and what is said of the task is said once for all of them."""
    if template.function is None:
        raise errors.InvalidRequest(
            f"`chunk` is for functions: {what} is a process of its own.",
            hint="Leave `chunk` out, or map a function.",
        )
    plain = template.model_dump(exclude_unset=True)
    plain.pop("arguments", None)
    if has_mark(plain):
        raise errors.InvalidRequest(
            'With `chunk`, {"$item": …} may stand in `arguments` only: all else is said once for many items.'
        )


def has_mark(value: Any) -> bool:
    """Whether a mark stands anywhere in the value."""
    if isinstance(value, dict):
        return ITEM in value or any(has_mark(item) for item in value.values())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list):
        return any(has_mark(item) for item in value)  # pyright: ignore[reportUnknownVariableType]
    return False


def put_in(value: Any, item: Any) -> Any:
    """The value with the item, or its part, in the place of each mark."""
    if isinstance(value, dict):
        if ITEM in value:
            return _part(item, value[ITEM])  # pyright: ignore[reportUnknownArgumentType]
        return {key: put_in(part, item) for key, part in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [put_in(part, item) for part in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def task_with(plain: dict[str, Any], item: Any) -> dict[str, Any]:
    """The template of a task with the item in the place of each mark. What stands for a word of a command, or for
    stdin, is a text: a text as it is, anything else as JSON."""
    filled = put_in(plain, item)
    command = plain.get("command")
    if isinstance(command, list):
        words: list[Any] = command  # pyright: ignore[reportUnknownVariableType]
        pairs = zip(words, filled["command"], strict=True)
        filled["command"] = [_text(new) if has_mark(word) else new for word, new in pairs]
    if has_mark(plain.get("stdin")):
        filled["stdin"] = _text(filled["stdin"])
    return filled


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def as_task(filled: dict[str, Any], item: Any) -> TaskSpec:
    """The task that a template with an item is. Errors: `InvalidRequest` where the item does not fit its place."""
    try:
        return TaskSpec.model_validate(filled)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = str(first["loc"][0]) if first["loc"] else "the task"
        raise errors.InvalidRequest(
            f"With the item {json.dumps(item)[:80]} in it, `{field}` is not right: {first['msg']}.",
            hint='{"$item": "<name>"} is a part of the item, {"$item": true} the whole of it.',
        ) from None


def _part(item: Any, key: object) -> Any:
    if key is True:
        return item
    if isinstance(item, dict) and key in item:
        return item[key]  # pyright: ignore[reportUnknownVariableType]
    raise errors.InvalidRequest(
        f"The item {json.dumps(item)[:80]} has no '{key}'.", hint="Use true for the whole item."
    )
