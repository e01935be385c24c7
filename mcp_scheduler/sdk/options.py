"""What a decorator may declare, checked where it is written: a mistake shows at import, not at the first run.

The checked options are plain JSON in the words of a submission; what was not given is absent.
"""

from __future__ import annotations

TYPE_CHECKING = False  # known to type checkers; `typing` itself would cost more than all of this
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Final

    Check = Callable[[str, Any], Any]

_DURATION: Final = r"(\d+(\.\d+)?\s*(ms|min|s|m|h|d)\s*)+"
_SIZE: Final = r"\d+(\.\d+)?\s*([kmgt]i?)?b?"
_REASONS: Final = ("error", "timeout", "idle_timeout", "out_of_memory", "lost", "crashed")
_LONGEST_TAG: Final = 60
_MOST_TAGS: Final = 20
_MOST_ATTEMPTS: Final = 100
_MOST_THINGS: Final = 100


class BadOption(ValueError):
    """A decorator declares something that no submission could say either."""


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given (are not None), checked. BadOption says which is wrong and what would be right."""
    return {name: _OPTIONS[name](name, value) for name, value in given.items() if value is not None}


def checked_name(name: str) -> str:
    """A function's public name: letters, digits, `_` and `-`, not starting with a digit."""
    if not isinstance(name, str) or not name.replace("-", "_").isidentifier():  # pyright: ignore[reportUnnecessaryIsInstance] callers are users
        raise BadOption(f"name must be made of letters, digits, _ and -, not {name!r}")
    return name


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _matches(pattern: str, text: str) -> bool:
    import re  # noqa: PLC0415 (every import of the decorator would pay for it)

    return re.fullmatch(pattern, text.strip(), re.IGNORECASE) is not None


def _listed(value: Any) -> list[Any]:
    return [*value] if type(value) in (list, tuple, set, frozenset) else []


def _number(least: float, most: float, *, whole: bool = False) -> Check:
    kind = "a whole number" if whole else "a number"

    def check(name: str, value: Any) -> Any:
        if not _is_number(value) or (whole and not isinstance(value, int)) or not least <= value <= most:
            raise BadOption(f"{name} must be {kind} from {least:g} to {most:g}, not {value!r}")
        return value

    return check


def _duration(least: float, most: float) -> Check:
    def check(name: str, value: Any) -> Any:
        fits = _matches(_DURATION, value) if isinstance(value, str) else _is_number(value)
        if not fits or (not isinstance(value, str) and not least <= value <= most):
            raise BadOption(
                f"{name} must be seconds (up to {most:g}) or a text such as '90s' or '1h30m', not {value!r}"
            )
        return value

    return check


def _size(name: str, value: Any) -> Any:
    fits = _matches(_SIZE, value) if isinstance(value, str) else _is_number(value) and value >= 0
    if not fits or isinstance(value, float):
        raise BadOption(f"{name} must be a whole number of bytes or a text such as '512MiB' or '2GB', not {value!r}")
    return value


def _text(name: str, value: Any) -> Any:
    if not isinstance(value, str) or not value:
        raise BadOption(f"{name} must be a text, not {value!r}")
    return value


def _truth(name: str, value: Any) -> Any:
    if not isinstance(value, bool):
        raise BadOption(f"{name} must be True or False, not {value!r}")
    return value


def _tags(name: str, value: Any) -> Any:
    tags = _listed(value)
    short = all(isinstance(tag, str) and 0 < len(tag) <= _LONGEST_TAG for tag in tags)
    if not tags or not short or len(tags) > _MOST_TAGS:
        raise BadOption(f"{name} must be 1 to {_MOST_TAGS} texts of at most {_LONGEST_TAG} characters, not {value!r}")
    return tags


def _things(name: str, value: Any) -> Any:
    things = _listed(value)
    if (
        not things
        or len(things) > _MOST_THINGS
        or not all(isinstance(thing, str) and thing.strip() for thing in things)
    ):
        raise BadOption(f"{name} must be 1 to {_MOST_THINGS} names of things, not {value!r}")
    return things


def _undo(name: str, value: Any) -> Any:
    if isinstance(value, str) and value:
        return value
    if not _is_dict(value) or ("function" in value) == ("command" in value):
        raise BadOption(f"{name} must be the name of a function, or a task with function or command, not {value!r}")
    return value


def _reasons(name: str, value: Any) -> Any:
    reasons = _listed(value)
    if not reasons or not set(reasons) <= set(_REASONS):
        raise BadOption(f"{name} must be a list out of {', '.join(_REASONS)}, not {value!r}")
    return sorted(reasons)


def _known(where: str, given: Mapping[Any, Any], checks: Mapping[str, Check]) -> dict[str, Any]:
    unknown = [key for key in given if key not in checks]
    if unknown:
        raise BadOption(f"{where} has no field {unknown[0]!r}; its fields are {', '.join(checks)}")
    return {key: checks[key](f"{where}.{key}", value) for key, value in given.items()}


def _retry(name: str, value: Any) -> Any:
    if _is_dict(value):
        return _known(name, value, _RETRY)
    return _number(1, _MOST_ATTEMPTS, whole=True)(name, value)


def _needs(name: str, value: Any) -> Any:
    if not _is_dict(value):
        raise BadOption(f"{name} must be a dict such as {{'cpus': 2, 'gpus': 1}}, not {value!r}")
    checked_needs: dict[str, Any] = {}
    for key, amount in value.items():
        if not isinstance(key, str) or not key:
            raise BadOption(f"{name} has the key {key!r}: resources are named by texts")
        checked_needs[key] = _NEEDS.get(key, _number(0, 1e15))(f"{name}.{key}", amount)
    return checked_needs


_NEEDS: Final[dict[str, Check]] = {
    "cpus": _number(0, 100_000),
    "memory": _size,
    "gpus": _number(0, 1024, whole=True),
    "gpu_memory": _size,
    "device": _text,
}

_RETRY: Final[dict[str, Check]] = {
    "max_attempts": _number(1, _MOST_ATTEMPTS, whole=True),
    "delay": _duration(0, 86_400),
    "factor": _number(1, 100),
    "max_delay": _duration(0, 86_400),
    "jitter": _number(0, 1),
    "on": _reasons,
}

_OPTIONS: Final[dict[str, Check]] = {
    "needs": _needs,
    "retry": _retry,
    "timeout": _duration(1e-9, 366 * 86_400),
    "idle_timeout": _duration(1e-9, 366 * 86_400),
    "idempotent": _truth,
    "priority": _number(-100, 100, whole=True),
    "tags": _tags,
    "on_failure": _undo,
    "reads": _things,
    "writes": _things,
}
