"""The further stages of a map: each item, or chunk of items, goes through them by itself, one task for each stage."""

from __future__ import annotations

from typing import Any, Final

from mcp_scheduler import errors
from mcp_scheduler.requests import ChunkSpec, MapTask, TaskSpec
from mcp_scheduler.service import marks
from mcp_scheduler.service.references import RESULT, names_in

PREVIOUS: Final = "previous"


def with_stages(request: MapTask, first: dict[str, TaskSpec], items: list[Any]) -> dict[str, TaskSpec]:
    """Behind each of the `first` tasks (by unit) those of the same unit in the further stages."""
    plains = [_plain(number, stage, request) for number, stage in enumerate(request.stages, 2)]
    specs: dict[str, TaskSpec] = {}
    for place, (unit, spec) in enumerate(first.items()):
        specs[unit] = spec
        previous = unit
        for number, plain in enumerate(plains, 2):
            key = key_of(unit, number)
            if isinstance(spec, ChunkSpec):
                specs[key] = _chunk(plain, spec, previous, items[spec.first : spec.first + len(spec.each)])
            else:
                item = items[place]
                specs[key] = marks.as_task(_after(marks.task_with(plain, item), previous), item)
            previous = key
    return specs


def key_of(unit: str, stage: int) -> str:
    """The key of a unit's task in a stage, counted from 1."""
    return unit if stage == 1 else f"{unit}.{stage}"


def _plain(number: int, stage: TaskSpec, request: MapTask) -> dict[str, Any]:
    """The template of a stage as it was said. Refused where it does not go on with what the stage before it made."""
    if PREVIOUS not in names_in(stage):
        raise errors.InvalidRequest(
            f"Stage {number} does not say where the result of the stage before it goes.",
            hint='Put {"$result": "previous"} there, for example "arguments": {"x": {"$result": "previous"}}.',
        )
    plain = stage.model_dump(exclude_unset=True)
    if request.chunk is None:
        return plain
    marks.refuse_in_chunks(f"stage {number}", stage)
    others = {name: value for name, value in plain.items() if name != "arguments"}
    if stage.after:
        raise errors.InvalidRequest(
            f"With `chunk`, stage {number} cannot wait for {', '.join(stage.after)}.",
            hint=f'A stage waits for the one before it by {{"{RESULT}": "{PREVIOUS}"}} in its arguments.',
        )
    return {**others, "arguments": plain.get("arguments") or {}}


def _chunk(plain: dict[str, Any], before: ChunkSpec, previous: str, items: list[Any]) -> ChunkSpec:
    """The chunk of the same items in the next stage: each takes its own part of what the chunk before it made."""
    arguments = plain["arguments"]
    each = [_put_in(marks.put_in(arguments, item), previous, place) for place, item in enumerate(items)]
    spoken: dict[str, Any] = {**plain, "arguments": {}, "after": [previous], "name": plain.get("name") or before.name}
    return ChunkSpec.model_validate(
        {**spoken, "each": each, "first": before.first, "source": previous, "seconds": before.seconds}
    )


def _after(plain: dict[str, Any], key: str) -> dict[str, Any]:
    """A call of the stage that goes on behind the task of this key."""
    filled = _put_in(plain, key)
    if "after" in filled:
        filled["after"] = [key if name == PREVIOUS else name for name in plain["after"]]
    return filled


def _put_in(value: Any, key: str, place: int | None = None) -> Any:
    """The value with the key of the task before in every reference to it; `place`: of the list that is its result."""
    if isinstance(value, dict):
        if value.get(RESULT) == PREVIOUS:  # pyright: ignore[reportUnknownMemberType]
            return _reference(value, key, place)  # pyright: ignore[reportUnknownArgumentType]
        return {name: _put_in(part, key, place) for name, part in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list | tuple):
        return [_put_in(part, key, place) for part in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def _reference(said: dict[str, Any], key: str, place: int | None) -> dict[str, Any]:
    if place is None:
        return {**said, RESULT: key}
    path = said.get("path")
    return {**said, RESULT: key, "path": f"[{place}]" if path is None else f"[{place}] | {path}"}
