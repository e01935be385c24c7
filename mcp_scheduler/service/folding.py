"""A reduce that begins early: it folds neighbouring results into partial ones as they come, and these into others, in a
tree. The order of the items is kept, so the function has to be associative, and need not be commutative."""

from __future__ import annotations

from typing import Any, Final

from mcp_scheduler import errors
from mcp_scheduler.requests import ReduceSpec, TaskSpec
from mcp_scheduler.service.references import RESULT, names_in

ITEMS: Final = "items"  # what a reduce calls the list that it is given
REDUCE: Final = "reduce"  # the key of the task that has the whole


class Tree:
    """The tasks of a reduce over `leaves` (keys, in the order of the items). `specs` are those of the folds, level by
    level, then that of the whole; `lists` says for each name of a list which tasks it stands for."""

    def __init__(self, reduce: ReduceSpec, leaves: tuple[str, ...]) -> None:
        self._plain = reduce.model_dump(exclude_unset=True)
        self._plain.pop("fan_in", None)
        self.specs: dict[str, TaskSpec] = {}
        self.lists: dict[str, tuple[str, ...]] = {}
        self.over_leaves: set[str] = set()  # the lists that stand for leaves
        top = leaves
        if reduce.fan_in is not None:
            if ITEMS not in names_in(reduce):
                raise errors.InvalidRequest(
                    "This reduce does not say where the results go, which it is to fold with `fan_in`.",
                    hint='Put {"$result": "items"} there, for example "arguments": {"parts": {"$result": "items"}}.',
                )
            level = 0
            while len(top) > reduce.fan_in:
                level += 1
                top = self._level(level, top, reduce.fan_in)
        self.folds = len(self.specs)
        self._add(REDUCE, ITEMS, top, is_lowest=top is leaves)

    def _level(self, level: int, below: tuple[str, ...], fan_in: int) -> tuple[str, ...]:
        made: list[str] = []
        for start in range(0, len(below), fan_in):
            under = below[start : start + fan_in]
            if len(under) == 1 and level > 1:
                made += under  # it is a partial result already
                continue
            key = f"fold {level}.{len(made)}"
            self._add(key, f"{ITEMS} {level}.{len(made)}", under, is_lowest=level == 1)
            made.append(key)
        return tuple(made)

    def _add(self, key: str, name: str, under: tuple[str, ...], *, is_lowest: bool) -> None:
        self.lists[name] = under
        if is_lowest:
            self.over_leaves.add(name)
        plain = self._plain if name == ITEMS else _over(self._plain, name)
        self.specs[key] = TaskSpec.model_validate({**plain, "after": [*self._plain.get("after", ()), name]})


def _over(value: Any, name: str) -> Any:
    """The value with another name for the list of results."""
    if isinstance(value, dict):
        if value.get(RESULT) == ITEMS:  # pyright: ignore[reportUnknownMemberType]
            return {**value, RESULT: name}  # pyright: ignore[reportUnknownVariableType]
        return {key: _over(part, name) for key, part in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [_over(part, name) for part in value]  # pyright: ignore[reportUnknownVariableType]
    return value
