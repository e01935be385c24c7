"""A map: one template, many items. The tasks it makes are ordinary tasks of one group."""

from __future__ import annotations

import csv
import io
import itertools
import json
from pathlib import Path
from typing import Any, Final

from mcp_scheduler import errors
from mcp_scheduler.requests import ChunkSpec, MapOver, MapTask, TaskSpec, seconds
from mcp_scheduler.service import pipeline
from mcp_scheduler.service.folding import Tree
from mcp_scheduler.service.layout import Layout
from mcp_scheduler.service.marks import as_task, has_mark, put_in, refuse_in_chunks, task_with

LIMIT: Final = 100_000
CHUNK_SECONDS: Final = 0.5  # of a chunk of a size that we choose, by default: the cost of a task is lost in it
CHUNKS_PER_CPU: Final = 4  # at least: one that turns out long must not leave the other CPUs idle for long
LARGEST_CHUNK: Final = 1_000
_JSON_LINES: Final = (".jsonl", ".ndjson")  # how the names of such files end


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
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.InvalidRequest(f"{path} cannot be read: {error}.", hint="Give a CSV or JSONL file.") from None
    if path.suffix.lower() in _JSON_LINES:
        try:
            return [json.loads(line) for line in text.split("\n") if line.strip()]
        except json.JSONDecodeError as error:
            raise errors.InvalidRequest(f"{path} is not JSONL: {error}.") from None
    # Lines as CSV and JSON know them: those of `splitlines` also end at signs that may stand within a value.
    try:
        return [dict(row) for row in csv.DictReader(io.StringIO(text, newline=""))]
    except csv.Error as error:
        raise errors.InvalidRequest(
            f"{path} is no CSV that can be read: {error}.", hint="Mend it (a quote left open?), or give JSONL."
        ) from None


def advice_about(over: MapOver) -> str:
    """What to do about items that do not fit the function, where that is known."""
    if over.rows is None or Path(over.rows).suffix.lower() in _JSON_LINES:
        return ""
    return "Every value of a CSV is text: let the function convert it, or give JSONL, which keeps numbers."


def layout_of(request: MapTask, items: list[Any], size: int) -> Layout:
    """All tasks of the map: those of its first stage, behind each of them those of the further ones, and the reduce.
    `size`: items of a chunk, 0 for a task each."""
    first = _chunks(request, items, size) if size else _each(request, items)
    stages = 1 + len(request.stages)
    if len(first) * stages > LIMIT:
        raise errors.TooLarge(
            f"{len(first):,} items in {stages} stages would be {len(first) * stages:,} tasks; a map takes {LIMIT:,}.",
            hint="Say `chunk`, or submit it in several maps.",
        )
    specs = pipeline.with_stages(request, first, items) if request.stages else first
    if request.reduce is None:
        return Layout(specs, items=len(items) if size or request.stages else 0, chunk=size, stages=stages)
    tree = Tree(request.reduce, tuple(pipeline.key_of(unit, stages) for unit in first))
    told_apart = size or request.stages or tree.folds
    return Layout(
        specs | tree.specs,
        tree.lists,
        frozenset(tree.over_leaves if size else ()),
        len(items) if told_apart else 0,
        size,
        stages,
        tree.folds,
    )


def _each(request: MapTask, items: list[Any]) -> dict[str, TaskSpec]:
    """A task for each item."""
    template = request.task
    plain = template.model_dump(exclude_unset=True)
    marked = has_mark(plain)
    return {f"{number}": _filled(template, plain, item, marked=marked) for number, item in enumerate(items)}


def chunk_seconds(request: MapTask) -> float:
    """What a chunk shall take; 0.0 where its items are counted, or there are none."""
    if request.chunk is None or isinstance(request.chunk, int):
        return 0.0
    return CHUNK_SECONDS if request.chunk == "auto" else float(seconds(request.chunk))  # pyright: ignore[reportArgumentType]


def chunk_size(request: MapTask, count: int, each: float | None, cpus: float) -> int:
    """How many items one task takes; 0 for a map without chunks. `each` is what one call is expected to take.

    By itself: as many as take `chunk_seconds` together, but a few chunks for each CPU, so that none stands idle.
    """
    if request.chunk is None or isinstance(request.chunk, int):
        return request.chunk or 0
    fair = max(1, int(count / (CHUNKS_PER_CPU * max(1.0, cpus))))
    most = LARGEST_CHUNK if not each else _round(max(1, int(chunk_seconds(request) / each)))
    return min(fair, most, LARGEST_CHUNK)


def _round(size: int) -> int:
    """The largest of 1, 2, 3, 4, 6, 8, 12, ... that is no larger: how long chunks take is learnt for each size, so the
    sizes of one map after the other must not differ by little."""
    power = 1 << (size.bit_length() - 1)
    return power * 3 // 2 if 2 * size >= 3 * power else power


def _chunks(request: MapTask, items: list[Any], size: int) -> dict[str, TaskSpec]:
    """A task for each `size` items."""
    template = request.task
    refuse_in_chunks("a command", template)
    plain = template.model_dump(exclude_unset=True)
    fixed: dict[str, Any] = plain.pop("arguments", None) or {}
    marked = has_mark(fixed)
    sets = [put_in(fixed, item) if marked else _merged(template, item) for item in items]
    specs: dict[str, TaskSpec] = {}
    for number, start in enumerate(range(0, len(sets), size)):
        each = sets[start : start + size]
        name = template.name or f"items {start}-{start + len(each) - 1}"
        specs[f"{number}"] = ChunkSpec.model_validate(
            {**plain, "arguments": fixed, "name": name, "each": each, "first": start, "seconds": chunk_seconds(request)}
        )
    return specs


def _merged(template: TaskSpec, item: Any) -> dict[str, Any]:
    """The arguments for an item that is itself a set of them."""
    if not isinstance(item, dict):
        raise errors.InvalidRequest(
            f"The item {json.dumps(item)[:80]} is no object, and the template does not say where it goes.",
            hint='Put {"$item": true} where the item belongs, for example "arguments": {"path": {"$item": true}}.',
        )
    return {**(template.arguments or {}), **item}


def _filled(template: TaskSpec, plain: dict[str, Any], item: Any, *, marked: bool) -> TaskSpec:
    if marked:
        return as_task(task_with(plain, item), item)
    return template.model_copy(update={"arguments": _merged(template, item)})
