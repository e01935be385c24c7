"""Words of the command line → values of a verb's parameters, without pydantic.

Typer builds a pydantic adapter for every parameter of a verb: 150 ms, three times what the verb itself takes. Our
parameters are texts, numbers, paths and choices; they are read here. Where a version of Typer does not ask
(`get_runtime_param`), it reads them itself, with the same result.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer


def read_plainly(parameters: list[Any]) -> list[Any]:
    """The parameters of a Typer command, made to read their values by `Plain`."""
    for parameter in parameters:
        if hasattr(parameter, "type_descriptor"):
            plain = Plain(parameter.type_descriptor.annotation)
            parameter.get_runtime_param = lambda plain=plain: plain
    return parameters


class Plain:
    """How one parameter reads its words: str, int, float, Path, a Literal of texts, or a list of these."""

    def __init__(self, annotation: Any) -> None:
        self._kind = get_args(annotation)[0] if get_origin(annotation) is list else annotation

    def coerce(self, value: Any, *, param: Any, ctx: Any) -> Any:
        """The parameter's value; BadParameter if a word cannot be one."""
        if isinstance(value, (list, tuple)):
            return [self._one(word, param, ctx) for word in value]  # pyright: ignore[reportUnknownVariableType] - words
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        return self._one(value, param, ctx)

    def _one(self, word: Any, param: Any, ctx: Any) -> Any:
        try:
            return _read(self._kind, word, getattr(param, "min", None), getattr(param, "max", None))
        except ValueError as error:
            raise typer.BadParameter(str(error), ctx=ctx, param=param) from None


def _read(kind: Any, word: Any, least: float | None, most: float | None) -> Any:
    if not isinstance(word, str):
        return word  # a default
    if kind is Path:
        return Path(word)
    if get_origin(kind) is Literal and word not in get_args(kind):
        raise ValueError(f"'{word}' is none of {', '.join(get_args(kind))}.")
    return _number(kind, word, least, most) if kind in (int, float) else word


def _number(kind: type[float], word: str, least: float | None, most: float | None) -> float:
    try:
        number = kind(word)
    except ValueError:
        raise ValueError(f"'{word}' is no {'whole ' if kind is int else ''}number.") from None
    if (least is not None and not number >= least) or (most is not None and not number <= most):
        raise ValueError(
            f"{number} is not in the range {'' if least is None else least}..{'' if most is None else most}."
        )
    return number
