"""References to results, `{"$result": "<task>", "path": "<JMESPath>"}`: finding them in a call, resolving their names,
and the dependencies that follow from them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mcp_scheduler import errors
from mcp_scheduler.core.states import State
from mcp_scheduler.ports import Tree
from mcp_scheduler.requests import TaskSpec

RESULT: Final = "$result"
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})
MARK: Final = b'"$result"'  # in the JSON of a call without it there is no reference


@dataclass(slots=True)
class Names:
    """What a submission may name: keys of the graph at hand, ids of tasks and of groups, files."""

    keys: dict[str, str] = field(default_factory=dict[str, str])  # graph key → task id
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])  # group id → its members
    outside: dict[str, State] = field(default_factory=dict[str, State])  # tasks that are no longer in memory
    chunks: dict[str, int] = field(default_factory=dict[str, int])  # group id → its first members that are chunks
    kept: Mapping[tuple[str, tuple[str, ...]], Tree] | None = None  # asked for → inputs; None: a dry run keeps none
    sizes: dict[str, int] = field(default_factory=dict[str, int])  # place of a file → its bytes

    def knows(self, name: str) -> bool:
        """Whether the name belongs to this submission itself."""
        return name in self.keys or name in self.groups


def has_reference(value: Any) -> bool:
    """Whether a `{"$result": …}` stands anywhere in the value."""
    if isinstance(value, dict):
        return RESULT in value or any(has_reference(item) for item in value.values())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list):
        return any(has_reference(item) for item in value)  # pyright: ignore[reportUnknownVariableType]
    return False


def is_flat(arguments: Mapping[str, Any] | None) -> bool:
    """Whether nothing can stand in these arguments but plain values: the usual case, seen at once."""
    if not arguments:
        return True
    for value in arguments.values():
        if value.__class__ not in _PLAIN:
            return False
    return RESULT not in arguments


def references(value: Any) -> Iterable[dict[str, Any]]:
    """Every `{"$result": …}` in the value."""
    if isinstance(value, dict):
        if RESULT in value:
            yield value  # pyright: ignore[reportUnknownArgumentType]
            return
        for item in value.values():  # pyright: ignore[reportUnknownVariableType]
            yield from references(item)
    elif isinstance(value, list):
        for item in value:  # pyright: ignore[reportUnknownVariableType]
            yield from references(item)


def spoken(spec: TaskSpec) -> Any:
    """The parts of a request in which references may stand."""
    return [spec.arguments, spec.command, spec.stdin]


def names_in(spec: TaskSpec) -> set[str]:
    """Every task, group or key that the request names: in `after`, and in references."""
    parts = spoken(spec)
    if is_flat(spec.arguments) and spec.command is None and spec.stdin is None:
        return set(spec.after)
    if not has_reference(parts):
        return set(spec.after)
    return {*spec.after, *(named_in(reference) for reference in references(parts))}


def dependencies(spec: TaskSpec, call: dict[str, Any], names: Names) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The ids the task waits for, and its call (empty, where it has no references) with every reference in the form
    that the runtime reads: a task's id, or, for a group, the stretch [start, end] of the dependencies in which its
    members stand."""
    after: dict[str, None] = {}
    spans: dict[str, list[int]] = {}

    def add(name: str) -> None:
        if name not in names.groups:
            after.setdefault(names.keys.get(name, name))
        elif name not in spans:
            members = [member for member in names.groups[name] if member not in after]
            spans[name] = [len(after), len(after) + len(members)]
            after.update(dict.fromkeys(members))

    found = [named_in(reference) for reference in references(call)] if has_reference(call) else []
    for name in sorted(found, key=lambda name: name not in names.groups):  # groups first: members stand together
        add(name)
    for name in spec.after:
        add(name)
    return tuple(after), _rewritten(call, names, spans) if found else call


def _rewritten(value: Any, names: Names, spans: Mapping[str, list[int]]) -> Any:
    if isinstance(value, dict):
        if RESULT in value:
            name = named_in(value)  # pyright: ignore[reportUnknownArgumentType]
            flat = {"chunks": names.chunks[name]} if name in names.chunks else {}
            return {**value, RESULT: spans.get(name) or names.keys.get(name, name), **flat}  # pyright: ignore[reportUnknownVariableType]
        return {key: _rewritten(item, names, spans) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [_rewritten(item, names, spans) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def named_in(reference: Mapping[str, Any]) -> str:
    """The name in a `{"$result": name, "path": …}`; refuses any other form."""
    name, extra = reference.get(RESULT), set(reference) - {RESULT, "path"}
    if not isinstance(name, str) or extra or not isinstance(reference.get("path", ""), str):
        raise errors.InvalidRequest(
            f"{json.dumps(dict(reference))[:200]} is no reference.",
            hint='Write {"$result": "<task id or graph key>", "path": "<JMESPath, optional>"}.',
        )
    return name
