"""Compensations: what a task names in `on_failure` becomes a task of its own, made with it."""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from mcp_scheduler import errors
from mcp_scheduler.requests import ChunkSpec, TaskSpec

FIELDS: Final = (
    "function", "arguments", "command", "cwd", "env", "stdin", "inputs", "name", "tags", "needs", "reads", "writes",
    "priority", "timeout", "idle_timeout", "retry",
)  # fmt: skip
_SUFFIX: Final = "-undo"


def id_of(owner: str) -> str:
    """The id of the owner's compensation."""
    return owner + _SUFFIX


def compensation_of(spec: TaskSpec) -> TaskSpec | None:
    """The task that undoes what this one did, if it names one; read as strictly as any other."""
    if spec.on_failure is None:
        return None
    refuse_owner(spec)
    strange = [name for name in spec.on_failure if name not in FIELDS]
    if strange:
        raise errors.InvalidRequest(
            f"`{'`, `'.join(strange)}` cannot stand in on_failure.", hint=f"It takes {', '.join(FIELDS)}."
        )
    try:
        return TaskSpec.model_validate(spec.on_failure)
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, ('on_failure', *one['loc'])))}: {one['msg'].removeprefix('Value error, ')}"
            for one in error.errors()[:3]
        )
        raise errors.InvalidRequest(
            f"{told}.", hint='For example {"function": "module.undo", "arguments": {…}, "retry": 3}.'
        ) from None


def refuse_owner(spec: TaskSpec) -> None:
    """Whose end says nothing about what was done, and whose calls are many, has no compensation."""
    why = (
        "a lease: it does nothing that could be undone"
        if spec.lease
        else "a task that recurs"
        if spec.recurs
        else "a map in chunks"
        if isinstance(spec, ChunkSpec)
        else ""
    )
    if why:
        raise errors.InvalidRequest(
            f"`on_failure` is not for {why}.", hint="Leave it out, or submit the work as single tasks."
        )
