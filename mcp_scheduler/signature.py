"""The arguments of a function as a reader of Python would write them, from the JSON Schema that describes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def signature(parameters: Mapping[str, Any]) -> str:
    """`path: string, kind: 'mean' | 'most' = 'mean', **others`."""
    required = parameters.get("required", ())
    told: list[str] = []
    for name, schema in parameters.get("properties", {}).items():
        default = "" if name in required else f" = {_default(schema)}"
        told.append(f"{name}: {type_of(schema)}{default}")
    if parameters.get("additionalProperties"):
        told.append("**others")
    return ", ".join(told)


def type_of(schema: Mapping[str, Any]) -> str:
    """What one argument may be: `integer`, `array[string]`, `'mean' | 'most'`, the name of a class."""
    if "anyOf" in schema:
        return " | ".join(type_of(option) for option in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(_plainly(value) for value in schema["enum"])
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    kind: Any = schema.get("type", "any")
    if kind == "array" and "type" in schema.get("items", {}):
        return f"array[{schema['items']['type']}]"
    return kind if isinstance(kind, str) else " | ".join(kind)


def _default(schema: Mapping[str, Any]) -> str:
    """`…` where the default is nothing that JSON can say."""
    return _plainly(schema["default"]) if "default" in schema else "…"


def _plainly(value: Any) -> str:
    """As JSON; texts in single quotes, which need no backslashes where the whole stands in JSON."""
    return repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
