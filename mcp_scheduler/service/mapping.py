"""A map: one template, many items. The tasks it makes are ordinary tasks of one group."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path
from typing import Any, Final

from mcp_scheduler import errors
from mcp_scheduler.requests import MapOver, MapTask, TaskSpec

ITEM: Final = "$item"
REDUCE: Final = "reduce"
LIMIT: Final = 100_000


def items_of(over: MapOver) -> list[Any]:
    """The items, each a value or a set of arguments."""
    if over.items is not None:
        items = over.items
    elif over.product is not None:
        names = list(over.product)
        items = [dict(zip(names, values, strict=True)) for values in itertools.product(*over.product.values())]
    elif over.zip is not None:
        lengths = {name: len(values) for name, values in over.zip.items()}
        if len(set(lengths.values())) > 1:
            raise errors.InvalidRequest(
                f"The lists of zip differ in length: {lengths}.", hint="Make them equally long."
            )
        names = list(over.zip)
        items = [dict(zip(names, values, strict=True)) for values in zip(*over.zip.values(), strict=True)]
    else:
        items = _rows(Path(over.rows or ""))
    if not items:
        raise errors.InvalidRequest("There is nothing to map over.", hint="Give at least one item.")
    if len(items) > LIMIT:
        raise errors.TooLarge(f"{len(items):,} items; a map takes {LIMIT:,}.", hint="Submit it in several maps.")
    return items


def _rows(path: Path) -> list[Any]:
    """The rows of a CSV file (with a header; every value is text) or of a JSONL file."""
    if not path.is_absolute():
        raise errors.InvalidRequest(f"'{path}' is a relative path.", hint="Give the absolute path of the file.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise errors.InvalidRequest(f"{path} cannot be read: {error}.", hint="Give a CSV or JSONL file.") from None
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        try:
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        except json.JSONDecodeError as error:
            raise errors.InvalidRequest(f"{path} is not JSONL: {error}.") from None
    return [dict(row) for row in csv.DictReader(text.splitlines())]


def specs_of(request: MapTask, items: list[Any]) -> dict[str, TaskSpec]:
    """A task for each item, and the reduce. `{"$item": true}` stands for the item, `{"$item": "key"}` for a part."""
    template = request.task
    plain = template.model_dump(exclude_unset=True)
    marked = _has_mark(plain)
    specs = {f"{number}": _filled(template, plain, item, marked=marked) for number, item in enumerate(items)}
    if request.reduce is not None:
        after = (*request.reduce.after, "items")
        specs[REDUCE] = request.reduce.model_copy(update={"after": after})
    return specs


def _filled(template: TaskSpec, plain: dict[str, Any], item: Any, *, marked: bool) -> TaskSpec:
    if marked:
        return TaskSpec.model_validate(_put_in(plain, item))
    if not isinstance(item, dict):
        raise errors.InvalidRequest(
            f"The item {json.dumps(item)[:80]} is no object, and the template does not say where it goes.",
            hint='Put {"$item": true} where the item belongs, for example "arguments": {"path": {"$item": true}}.',
        )
    return template.model_copy(update={"arguments": {**(template.arguments or {}), **item}})


def _has_mark(value: Any) -> bool:
    if isinstance(value, dict):
        return ITEM in value or any(_has_mark(item) for item in value.values())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list):
        return any(_has_mark(item) for item in value)  # pyright: ignore[reportUnknownVariableType]
    return False


def _put_in(value: Any, item: Any) -> Any:
    if isinstance(value, dict):
        if ITEM in value:
            return _part(item, value[ITEM])  # pyright: ignore[reportUnknownArgumentType]
        return {key: _put_in(part, item) for key, part in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [_put_in(part, item) for part in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def _part(item: Any, key: object) -> Any:
    if key is True:
        return item
    if isinstance(item, dict) and key in item:
        return item[key]  # pyright: ignore[reportUnknownVariableType]
    raise errors.InvalidRequest(
        f"The item {json.dumps(item)[:80]} has no '{key}'.", hint="Use true for the whole item."
    )
