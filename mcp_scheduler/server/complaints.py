"""What is wrong with a request, as text: the field, what it is, what would be right, the nearest known name."""

from __future__ import annotations

import difflib
import json
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mcp_scheduler.errors import InvalidRequest

ModelT = TypeVar("ModelT", bound=BaseModel)


# Field → what other schedulers, and models that know them, call it. Letters alone would lead `gpus` to `inputs`.
_CALLED_ELSEWHERE: Final = {
    "arguments": ("args", "kwargs", "params", "parameters", "input"),
    "after": ("depends_on", "dependencies", "deps", "requires"),
    "needs": ("resources", "cpus", "gpus", "memory", "gpu_memory", "device"),
    "every": ("interval", "period", "repeat"),
    "cron": ("schedule", "crontab", "timezone", "time_zone", "tz"),
    "retry": ("retries", "max_retries", "max_attempts"),
    "timeout": ("time_limit", "walltime", "max_time"),
    "cwd": ("workdir", "working_dir", "working_directory"),
    "env": ("environment", "env_vars"),
    "inputs": ("files",),
    "ids": ("task_id", "task_ids", "group_id"),
    "id": ("task_id", "group_id"),
}
_OUR_WORDS: Final = {
    foreign: tuple(ours for ours, names in _CALLED_ELSEWHERE.items() if foreign in names)
    for names in _CALLED_ELSEWHERE.values()
    for foreign in names
}

MOST: Final = 4  # complaints in one text; the rest is counted

# What pydantic expected, by its type of error. Its own texts name classes of ours and link to its web pages.
_EXPECTED: Final = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}

_BOUNDS: Final = {
    "greater_than": ("gt", "greater than {}"),
    "greater_than_equal": ("ge", "at least {}"),
    "less_than": ("lt", "less than {}"),
    "less_than_equal": ("le", "at most {}"),
    "too_long": ("max_length", "a list of at most {} items"),
    "too_short": ("min_length", "a list of at least {} item(s)"),
    "string_too_long": ("max_length", "a text of at most {} characters"),
    "string_too_short": ("min_length", "a text of at least {} character(s)"),
}

_BOUNDS_OF_OBJECTS: Final = {
    "too_long": "an object of at most {} entries",
    "too_short": "an object of at least {} entry",
}


def nearest(name: str, known: Sequence[str]) -> str:
    """The known name that `name` was probably meant to be, "" for none."""
    lowered = {one.lower(): one for one in known}
    ours = next((one for one in _OUR_WORDS.get(name.lower(), ()) if one in known), "")
    if ours:
        return ours
    close = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    return lowered[close[0]] if close else ""


@dataclass(slots=True)
class _Wrong:
    """One field that does not fit: everything the alternatives of its type had to say about it."""

    path: str
    expected: list[str]
    said: list[str]  # whole sentences, which stand for themselves
    value: Any


def read(model: type[ModelT], value: Any, where: str) -> ModelT:
    """`value` as a request. Errors: `InvalidRequest`, telling all that is wrong with it."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InvalidRequest(complaint(error, where, model)) from None


def complaint(error: ValidationError, where: str, model: type[BaseModel] | None = None) -> str:
    """`error` in sentences. `where` names the tool; `model` is what the request was read as."""
    wrong: dict[str, _Wrong] = {}
    for detail in error.errors(include_url=False):
        _note(detail, where, model, wrong)
    told = [_sentence(one) for one in _without_blind_alternatives(wrong)]
    rest = len(told) - MOST
    return " ".join(told[:MOST]) + (f" And {rest} more." if rest > 0 else "")


def _note(detail: ErrorDetails, where: str, model: type[BaseModel] | None, wrong: dict[str, _Wrong]) -> None:
    kind = detail["type"]
    path, inner = _walk(detail["loc"], model)
    one = wrong.setdefault(path, _Wrong(path, [], [], detail["input"]))
    context: Mapping[str, Any] = detail.get("ctx", {})
    if kind == "extra_forbidden":
        one.said.append(_unknown(path, where, inner))
    elif kind == "missing":
        one.said.append(f"`{path}` is missing.")
    elif kind == "value_error":
        text = str(context["error"])
        one.said.append(f"`{path}`: {text}" if path else text)
    elif kind == "literal_error":
        one.said.append(_not_among(path, detail["input"], str(context["expected"])))
    elif kind in _BOUNDS:
        name, phrase = _BOUNDS[kind]
        if isinstance(detail["input"], dict):
            phrase = _BOUNDS_OF_OBJECTS.get(kind, phrase)
        one.expected.append(phrase.format(_number(context[name])))
    else:
        one.expected.append(_EXPECTED.get(kind, f"right ({detail['msg'].lower()})"))


def _unknown(path: str, where: str, model: type[BaseModel] | None) -> str:
    owner, _, name = path.rpartition(".")
    place = f"`{owner}`" if owner else where
    known = list(model.model_fields) if model is not None else []
    close = nearest(name, known)
    if close:
        return f"{place} has no field `{name}`: did you mean `{close}`?"
    return f"{place} has no field `{name}`: it takes {', '.join(known) or 'no arguments'}."


def _not_among(path: str, value: Any, expected: str) -> str:
    choices = [choice.strip("' ") for choice in expected.replace(" or ", ", ").split(",")]
    close = nearest(value, choices) if isinstance(value, str) else ""
    meant = f" Did you mean '{close}'?" if close else ""
    return f"`{path}` must be one of {', '.join(choices)}, not {_shown(value)}.{meant}"


def _sentence(one: _Wrong) -> str:
    if one.said:
        return " ".join(dict.fromkeys(one.said))
    subject = f"`{one.path}`" if one.path else "The request"
    return f"{subject} must be {' or '.join(dict.fromkeys(one.expected))}, not {_shown(one.value)}."


def _without_blind_alternatives(wrong: dict[str, _Wrong]) -> Iterator[_Wrong]:
    """A field that may be a number or an object complains twice about a wrong object: as no number at all, and about
    what is wrong inside. Only the inside helps."""
    for path, one in wrong.items():
        inside = path and any(other.startswith((f"{path}.", f"{path}[")) for other in wrong)
        if not (inside and isinstance(one.value, (dict, list))):
            yield one


def _walk(location: Sequence[int | str], model: type[BaseModel] | None) -> tuple[str, type[BaseModel] | None]:
    """The path as a client would write it, and the model that owns its last part. The location also names the
    alternative of a union that pydantic tried; that is no part of the path."""
    path = ""
    owner = model
    current: Any = model
    for part in location:
        arms = _arms(current)
        if len(arms) > 1:
            current = _alternative(arms, str(part))
            continue
        arm = arms[0] if arms else None
        if isinstance(arm, type) and issubclass(arm, BaseModel):
            owner = arm
            known = arm.model_fields.get(str(part))
            current = known.annotation if known is not None else None
        else:
            current = _item_type(arm)
        if isinstance(part, int):
            path = f"{path}[{part}]"
        elif part != "[key]":  # pydantic's mark for a key that is wrong in itself
            path = f"{path}.{part}" if path else part
    return path, owner


def _arms(annotation: Any) -> list[Any]:
    """The alternatives of a type, `None` left out, `Annotated` taken off."""
    if annotation is None or annotation is type(None):
        return []
    if typing.get_origin(annotation) is typing.Annotated:
        return _arms(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [inner for arm in typing.get_args(annotation) for inner in _arms(arm)]
    return [annotation]


def _alternative(arms: Sequence[Any], label: str) -> Any:
    """The alternative that pydantic calls `label`: a model by its name, a collection by its kind, else a plain type."""
    for arm in arms:
        name = getattr(typing.get_origin(arm) or arm, "__name__", "")
        if label == name or label.startswith(f"{name}["):
            return arm
    return None


def _item_type(arm: Any) -> Any:
    """What a list holds, or a dict under its keys."""
    return typing.get_args(arm)[-1] if typing.get_origin(arm) in (list, dict, tuple, frozenset) else None


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shown(value: Any) -> str:
    """`value` in a few characters."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:59] + "…"  # noqa: PLR2004 - as long as a reader can take in at once
