"""From words of a command line to the fields of a request. Pure but for `@FILE` and variables that are taken along."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, cast

from mcp_scheduler.errors import BadArguments, InvalidRequest

_GRAPH: Final = 'Write an object of tasks by key: {"a": {"function": "m.f"}, "b": {"after": ["a"], …}}.'


def value(text: str) -> Any:
    """`text` as JSON where it is JSON (`3`, `true`, `[1, 2]`, `"3"`), else the text itself."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return text


def function_arguments(words: Iterable[str]) -> dict[str, Any]:
    """`key=value`, a JSON object, or `@FILE` with one (`@-`: standard input); later words win."""
    arguments: dict[str, Any] = {}
    for word in words:
        if word.startswith("{"):
            arguments |= _json_object(word, "the argument")
        elif word.startswith("@"):
            arguments |= _json_object(_text_of(word[1:]), word)
        else:
            key, is_pair, text = word.partition("=")
            if not is_pair or not key:
                raise BadArguments(
                    f"'{word}' is no argument of a function.",
                    hint="Write key=value, a JSON object, or @FILE with one. A command goes behind `--`.",
                )
            arguments[key] = value(text)
    return arguments


def command(words: Sequence[str], behind: Sequence[str] | None, example: str) -> list[str]:
    """The command that `run` and `lease` are given: `words` where it began without a `--`, which is then one of its
    own words; else what stood `behind` the `--`."""
    if words:
        return [*words, *([] if behind is None else ["--", *behind])]
    if not behind:
        raise InvalidRequest("There is nothing to run.", hint=f"Give the command: {example}")
    return list(behind)


def pairs(words: Sequence[str], option: str) -> dict[str, Any]:
    """`cpus=2,memory=4GiB` (also given as several options) → an object."""
    found: dict[str, Any] = {}
    for word in words:
        for part in word.split(","):
            key, is_pair, text = part.partition("=")
            if not is_pair or not key.strip():
                raise InvalidRequest(
                    f"{option} {word}: '{part}' is no NAME=AMOUNT.", hint=f"For example {option} cpus=2."
                )
            found[key.strip()] = value(text)
    return found


def variables(words: Sequence[str]) -> dict[str, str]:
    """`NAME=value` options → environment variables, the value as it stands; `NAME` takes along the one of here."""
    found: dict[str, str] = {}
    for word in words:
        name, is_pair, text = word.partition("=")
        if not name:
            raise InvalidRequest(f"--env {word}: write NAME=VALUE, or NAME alone to take yours along.")
        if not is_pair and name not in os.environ:
            raise InvalidRequest(
                f"--env {name}: there is no such variable here.", hint=f"export {name}, or write {name}=VALUE."
            )
        found[name] = text if is_pair else os.environ[name]
    return found


def retry(text: str) -> Any:
    """`3`, or a JSON object as the `retry` field takes it."""
    given = value(text)
    if isinstance(given, dict) or (isinstance(given, int) and not isinstance(given, bool)):
        return given  # pyright: ignore[reportUnknownVariableType]
    raise InvalidRequest(
        f"--retry {text}: give the number of attempts, or an object.",
        hint="""For example --retry 3, or --retry '{"max_attempts": 5, "delay": "10s"}'.""",
    )


def task(text: str, option: str) -> dict[str, Any]:
    """A task as a JSON object, or `@FILE` with one."""
    return _json_object(_text_of(text[1:]) if text.startswith("@") else text, option)


def graph(file: str) -> dict[str, Any]:
    """The request of submit_graph that a file holds: whole, or its tasks alone."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        found: Any = json.loads(text)
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"{file} cannot be read: {error}.", hint=_GRAPH) from None
    if not isinstance(found, dict):
        raise InvalidRequest(f"{file} is no object.", hint=_GRAPH)
    tasks = cast("dict[str, Any]", found)
    inner = tasks.get("tasks")
    whole = isinstance(inner, dict) and not {"function", "command", "lease"} & cast("dict[str, Any]", inner).keys()
    return tasks if whole else {"tasks": tasks}


def json_list(text: str, option: str) -> list[Any]:
    """A JSON list, or `@FILE` with one."""
    text = _text_of(text[1:]) if text.startswith("@") else text
    try:
        found = json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        raise InvalidRequest(f"{option} is no JSON: {error}.", hint='Write a list: [1, "two"].') from None
    if not isinstance(found, list):
        raise InvalidRequest(f"{option} is JSON, but no list.", hint='Write a list: [1, "two"].')
    return found  # pyright: ignore[reportUnknownVariableType]


def moment(text: str) -> float | str:
    """A number of seconds from now, or the text (`5m`, an ISO 8601 time) for the engine to read."""
    try:
        return float(text)
    except ValueError:
        return text


def seconds(text: str, option: str) -> float:
    """`90`, `90s`, `1h30m` → seconds, as every request reads them."""
    from mcp_scheduler import requests  # noqa: PLC0415 - 100 ms, only for verbs that wait by their own clock

    try:
        return float(text)
    except ValueError:
        pass
    try:
        found = requests.seconds(text)
    except ValueError as error:
        raise InvalidRequest(f"{option}: {error}") from None
    assert isinstance(found, float)
    return found


def _text_of(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadArguments(f"@{name} cannot be read: {error}.") from None


def _json_object(text: str, source: str) -> dict[str, Any]:
    try:
        found = json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        raise BadArguments(f"{source} is no JSON: {error}.") from None
    if not isinstance(found, dict):
        raise BadArguments(f"{source} is JSON, but no object.", hint='Arguments have names: {"n": 3}.')
    return found  # pyright: ignore[reportUnknownVariableType]


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
