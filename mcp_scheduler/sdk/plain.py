"""Schemas and conversion for the types that need no pydantic: JSON's own, and a few of the standard library."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import sys
import types
import typing
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path, PurePath
from typing import Any, NamedTuple, Union

Convert = Callable[[str, Any], Any]


class BadArguments(Exception):
    """The arguments of a call do not fit its function."""


class Rule(NamedTuple):
    """How one parameter looks as JSON Schema, and how a JSON value becomes what the function expects."""

    schema: dict[str, Any]
    convert: Convert


def rule_of(annotation: Any) -> Rule | None:
    """The rule for an annotation, or None where it takes pydantic to know one."""
    if isinstance(annotation, Hashable) and annotation in _SIMPLE:
        return _SIMPLE[annotation]
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is not None:
        return _composed(origin, parts)
    if isinstance(annotation, type):
        return _of_class(annotation)
    return None


def _composed(origin: Any, parts: tuple[Any, ...]) -> Rule | None:
    if origin is Union or origin is getattr(types, "UnionType", Union):
        return _union(parts)
    if origin is list and len(parts) == 1:
        return _list(rule_of(parts[0]))
    if origin in (dict, Mapping) and len(parts) == 2 and parts[0] is str:  # noqa: PLR2004 (key and value)
        return _dict(rule_of(parts[1]))
    if origin is typing.Literal:
        return _one_of(list(parts), {part: part for part in parts})
    if origin is typing.Annotated and all(isinstance(note, str) for note in parts[1:]):
        inner = rule_of(parts[0])
        return inner and Rule({**inner.schema, "description": " ".join(parts[1:])}, inner.convert)
    return None


def _of_class(kind: Any) -> Rule | None:
    if "pydantic" in sys.modules and hasattr(kind, "__pydantic_validator__"):
        return None
    if issubclass(kind, enum.Enum):
        members: dict[Any, Any] = {member.value: member for member in typing.cast("Any", kind)}
        if all(isinstance(value, (str, int)) for value in members):
            return _one_of(list(members), members)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind)
    return None


def _must(name: str, what: str, value: Any) -> BadArguments:
    return BadArguments(f"{name} must be {what}, not {value!r:.80}")


def _typed(what: str, *kinds: type) -> Convert:
    def convert(name: str, value: Any) -> Any:
        if type(value) in kinds:
            return value
        raise _must(name, what, value)

    return convert


def _integer(name: str, value: Any) -> int:
    if type(value) is int or (type(value) is float and value.is_integer()):
        return int(value)
    raise _must(name, "a whole number", value)


def _number(name: str, value: Any) -> float:
    if type(value) in (int, float):
        return float(value)
    raise _must(name, "a number", value)


def _from_text(what: str, make: Callable[[str], Any]) -> Convert:
    def convert(name: str, value: Any) -> Any:
        try:
            return make(value)
        except (TypeError, ValueError, AttributeError):
            raise _must(name, what, value) from None

    return convert


def _moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)


def _list(item: Rule | None) -> Rule | None:
    if item is None:
        return None

    def convert(name: str, value: Any) -> Any:
        if type(value) is not list:
            raise _must(name, "a list", value)
        return [item.convert(f"{name}[{number}]", part) for number, part in enumerate(value)]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] JSON

    return Rule({"type": "array", "items": item.schema} if item.schema else {"type": "array"}, convert)


def _dict(item: Rule | None) -> Rule | None:
    if item is None:
        return None

    def convert(name: str, value: Any) -> Any:
        if type(value) is not dict:
            raise _must(name, "an object", value)
        return {key: item.convert(f"{name}.{key}", part) for key, part in value.items()}  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] JSON

    schema: dict[str, Any] = {"type": "object"}
    return Rule({**schema, "additionalProperties": item.schema} if item.schema else schema, convert)


def _union(parts: tuple[Any, ...]) -> Rule | None:
    rules = [rule_of(part) for part in parts]
    known = [rule for rule in rules if rule is not None]
    if len(known) < len(rules):
        return None

    def convert(name: str, value: Any) -> Any:
        wrong: list[str] = []
        for rule in known:
            try:
                return rule.convert(name, value)
            except BadArguments as mismatch:
                wrong.append(str(mismatch))
        raise BadArguments("; or ".join(wrong))

    return Rule({"anyOf": [rule.schema for rule in known]}, convert)


def _one_of(values: list[Any], meaning: dict[Any, Any]) -> Rule:
    kinds: set[Any] = {type(value) for value in values}
    schema: dict[str, Any] = {"enum": values}
    if kinds == {str}:
        schema["type"] = "string"

    def convert(name: str, value: Any) -> Any:
        if type(value) in kinds and value in meaning:
            return meaning[value]
        raise _must(name, f"one of {', '.join(map(repr, values))}", value)

    return Rule(schema, convert)


def _dataclass(kind: Any) -> Rule | None:
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = [field for field in dataclasses.fields(kind) if field.init]
    found = {field.name: rule_of(hints[field.name]) for field in fields}
    rules = {name: rule for name, rule in found.items() if rule is not None}
    if len(rules) < len(found):
        return None
    absent = dataclasses.MISSING
    required = [field.name for field in fields if field.default is absent and field.default_factory is absent]
    convert = object_converter(rules, required, None)

    def build(name: str, value: Any) -> Any:
        if type(value) is not dict:
            raise _must(name, "an object", value)
        try:
            return kind(**convert(typing.cast("dict[str, Any]", value)))
        except (BadArguments, ValueError, TypeError) as wrong:
            raise BadArguments(f"{name}: {wrong}") from None

    return Rule(object_schema({name: rule.schema for name, rule in rules.items()}, required), build)


def object_schema(
    properties: dict[str, Any], required: list[str], rest: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A strict object; `rest` is the schema of further properties, None to allow none."""
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    if rest is None:
        schema["additionalProperties"] = False
    elif rest:
        schema["additionalProperties"] = rest
    return schema


def object_converter(
    rules: Mapping[str, Rule], required: list[str], rest: Rule | None
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Converts a JSON object field by field; BadArguments names what is missing, unknown or wrong."""
    known = {name: rule.convert for name, rule in rules.items()}

    def convert(given: dict[str, Any]) -> dict[str, Any]:
        for name in required:
            if name not in given:
                raise BadArguments(f"{name} is missing; required: {', '.join(required)}")
        if not given:
            return given
        converted: dict[str, Any] = {}
        for name, value in given.items():
            into = known.get(name) or (rest.convert if rest else None)
            if into is None:
                raise BadArguments(f"{name} is unknown; known: {', '.join(known) or 'none'}")
            converted[name] = into(name, value)
        return converted

    return convert


def _as_is(_name: str, value: Any) -> Any:
    return value


ANYTHING = Rule({}, _as_is)

_SIMPLE: dict[Any, Rule] = {
    Any: ANYTHING,
    object: ANYTHING,
    None: Rule({"type": "null"}, _typed("null", type(None))),
    type(None): Rule({"type": "null"}, _typed("null", type(None))),
    bool: Rule({"type": "boolean"}, _typed("true or false", bool)),
    int: Rule({"type": "integer"}, _integer),
    float: Rule({"type": "number"}, _number),
    str: Rule({"type": "string"}, _typed("a text", str)),
    list: Rule({"type": "array"}, _typed("a list", list)),
    dict: Rule({"type": "object"}, _typed("an object", dict)),
    Path: Rule({"type": "string", "format": "path"}, _from_text("a path", Path)),
    PurePath: Rule({"type": "string", "format": "path"}, _from_text("a path", PurePath)),
    dt.datetime: Rule({"type": "string", "format": "date-time"}, _from_text("an ISO 8601 time", _moment)),
    dt.date: Rule({"type": "string", "format": "date"}, _from_text("a date as YYYY-MM-DD", dt.date.fromisoformat)),
}
