"""What differs between two submissions that carry the same idempotency key, in words."""

from __future__ import annotations

import json
from typing import Any, Final

from mcp_scheduler.core.task import Task

_TOLD_APART: Final = {"arguments", "inputs", "name", "timeout", "idle_timeout"}


def differences(old: Task, old_payload: bytes, new: Task, new_payload: bytes) -> list[str]:
    """A line for each thing that is not the same; empty for an honest repetition."""
    found: list[str] = []
    if old.terms.target != new.terms.target:
        found.append(f"it runs {old.terms.target}, not {new.terms.target}")
    elif old_payload != new_payload:
        found += _arguments(json.loads(old_payload or b"{}"), json.loads(new_payload))
    return found + _terms(old, new)


def _terms(old: Task, new: Task) -> list[str]:
    grown = old.status.memory_retries > 0  # its needs are not those that were asked for any more
    found = [
        f"{name} is not the same"
        for name in (("retry", "timeout") if grown else ("needs", "retry", "timeout"))
        if getattr(old.terms, name) != getattr(new.terms, name)
    ]
    pairs = [(name, getattr(old, name), getattr(new, name)) for name in ("name", "after", "tags")]
    extras = ("reads", "writes", "cron", "catch_up", "replicas", "hedge")
    pairs += [(name, getattr(old.extras, name), getattr(new.extras, name)) for name in extras]
    found += [f"{name} was {was!r} and is {now!r}" for name, was, now in pairs if was != now]
    if old.extras.inputs != new.extras.inputs:
        found.append("the files of its inputs are not the same")
    if not new.extras.cron and old.extras.every != new.extras.every:
        found.append(f"every was {old.extras.every:g} s and is {new.extras.every:g} s")
    return found


def _arguments(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    before: dict[str, Any] = old.get("arguments") or {}
    after: dict[str, Any] = new.get("arguments") or {}
    names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if names:
        return [f"argument{'s' if len(names) > 1 else ''} {', '.join(names)}"]
    rest = (old.keys() | new.keys()) - _TOLD_APART
    return ["the call"] if any(old.get(name) != new.get(name) for name in rest) else []
