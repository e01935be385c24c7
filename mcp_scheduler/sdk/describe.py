"""From a function's signature: the JSON Schema of its arguments, and the way from JSON to what it expects.

Types that JSON and the standard library know are done here without a heavy import; any other type goes to pydantic
where this interpreter has it.
"""

from __future__ import annotations

import inspect
import json
import types
import typing
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from mcp_scheduler.sdk.function import Declaration
from mcp_scheduler.sdk.plain import ANYTHING, BadArguments, Rule, object_converter, object_schema, rule_of
from mcp_scheduler.sdk.results import NotJson, encode

Convert = Callable[[dict[str, Any]], dict[str, Any]]
LONGEST_SUMMARY = 300


class Undescribable(Exception):
    """The function cannot be offered; the message says why."""


class Offered(NamedTuple):
    """A function that can be called. `name` is `module.function`; `convert` raises BadArguments."""

    name: str
    call: Callable[..., Any]
    summary: str
    parameters: dict[str, Any]
    options: dict[str, Any]
    convert: Convert


def describe(module: str, call: Callable[..., Any], declaration: Declaration) -> Offered:
    """What the catalogue tells about a function. Undescribable where its arguments cannot be given as JSON."""
    signature = inspect.signature(call)
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL):
            star = "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
            raise Undescribable(f"parameter {star}{parameter.name} is positional; arguments are passed by name")
    hints = _hints(call)
    parameters, convert = _plain(signature, hints) or _by_pydantic(signature, hints)
    try:
        encode(parameters)
    except NotJson as problem:
        raise Undescribable(f"its schema is not JSON: {problem}") from None
    lines = (inspect.getdoc(call) or "").strip().splitlines()
    summary = lines[0].strip()[:LONGEST_SUMMARY] if lines else ""
    return Offered(f"{module}.{declaration.name}", call, summary, parameters, dict(declaration.options), convert)


def _hints(call: Callable[..., Any]) -> dict[str, Any]:
    """The types of the parameters; what the function returns may be named in ways that only a type checker knows."""
    try:
        inner: Any = inspect.unwrap(call)
        annotations = {name: hint for name, hint in inner.__annotations__.items() if name != "return"}
        holder = types.SimpleNamespace(__annotations__=annotations)
        return typing.get_type_hints(holder, globalns=inner.__globals__, include_extras=True)
    except AttributeError:
        return {}
    except Exception as error:  # noqa: BLE001 (a user's annotation may raise anything)
        raise Undescribable(f"the types of its parameters cannot be found: {error}") from None


def _plain(signature: inspect.Signature, hints: dict[str, Any]) -> tuple[dict[str, Any], Convert] | None:
    rules: dict[str, Rule] = {}
    rest: Rule | None = None
    for name, parameter in signature.parameters.items():
        try:
            rule = rule_of(hints[name]) if name in hints else ANYTHING
        except (NameError, RecursionError):  # a type that names itself: pydantic knows how
            return None
        if rule is None:
            return None
        if parameter.kind is parameter.VAR_KEYWORD:
            rest = rule
        else:
            rules[name] = rule
    named = {name: signature.parameters[name] for name in rules}
    required = [name for name, parameter in named.items() if parameter.default is parameter.empty]
    properties = {name: {**rules[name].schema, **_default(parameter)} for name, parameter in named.items()}
    schema = object_schema(properties, required, rest.schema if rest else None)
    return schema, object_converter(rules, required, rest)


def _default(parameter: inspect.Parameter) -> dict[str, Any]:
    if parameter.default is parameter.empty:
        return {}
    try:
        return {"default": json.loads(encode(parameter.default))}
    except NotJson:
        return {}  # the function fills it in itself; the schema cannot show it


def _by_pydantic(signature: inspect.Signature, hints: dict[str, Any]) -> tuple[dict[str, Any], Convert]:
    try:
        import pydantic  # noqa: PLC0415 (the user's own, heavy, and only where a type needs it)
        from pydantic.json_schema import GenerateJsonSchema  # noqa: PLC0415
    except ImportError:
        raise Undescribable(_unknown_types(hints, "which takes pydantic (2 or later) in this environment")) from None

    class Untitled(GenerateJsonSchema):
        def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 (pydantic's signature)
            return False

    def take(**arguments: Any) -> dict[str, Any]:
        return arguments

    typed = [parameter.replace(annotation=hints.get(name, Any)) for name, parameter in signature.parameters.items()]
    take.__signature__ = inspect.Signature(typed)  # pyright: ignore[reportFunctionMemberAccess] inspect reads it from there
    take.__annotations__ = hints
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of defaults that no schema can show
            adapter = pydantic.TypeAdapter[dict[str, Any]](cast("Any", take))
            schema = adapter.json_schema(schema_generator=Untitled)
    except Exception:  # noqa: BLE001 (a user's type may raise anything)
        raise Undescribable(_unknown_types(hints, "which cannot be given as JSON")) from None

    def convert(given: dict[str, Any]) -> dict[str, Any]:
        try:
            return adapter.validate_python(given)
        except pydantic.ValidationError as error:
            raise BadArguments("; ".join(map(_complaint, error.errors(include_url=False)))) from None

    return schema, convert


def _complaint(detail: Any) -> str:
    place = ".".join(str(part) for part in detail["loc"])
    return f"{place}: {detail['msg']}, not {detail['input']!r:.80}"


def _unknown_types(hints: dict[str, Any], why: str) -> str:
    names = [f"{name}: {getattr(hint, '__name__', hint)}" for name, hint in hints.items()]
    return f"a parameter ({', '.join(names)}) has a type {why}"
