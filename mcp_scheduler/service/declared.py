"""What a function's decorator declares of conflicts and of compensation, where a submission does not say it itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from mcp_scheduler.requests import TaskSpec
from mcp_scheduler.service.calls import Functions

_FIELDS: Final = ("on_failure", "reads", "writes")


def with_declared(specs: Iterable[TaskSpec], functions: Functions | None) -> Sequence[TaskSpec]:
    """The specs with what their functions declare put in. A field that a spec names stays as it says, null and empty
    lists too."""
    return [_filled(spec, functions) for spec in specs]


def _filled(spec: TaskSpec, functions: Functions | None) -> TaskSpec:
    if spec.function is None or functions is None:
        return spec
    options = functions.find(spec.function).options
    said = spec.model_fields_set
    found: dict[str, Any] = {name: options[name] for name in _FIELDS if name in options and name not in said}
    if not found:
        return spec
    undo = found.get("on_failure")
    if isinstance(undo, str):
        found["on_failure"] = {"function": undo, "arguments": spec.arguments or {}}
    for name in ("reads", "writes"):
        if name in found:
            found[name] = tuple(found[name])
    return spec.model_copy(update=found)
