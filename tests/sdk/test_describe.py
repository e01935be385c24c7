from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import jsonschema
import pydantic
import pytest

from mcp_scheduler.sdk.describe import Undescribable, describe
from mcp_scheduler.sdk.function import Declaration
from mcp_scheduler.sdk.plain import BadArguments

if TYPE_CHECKING:
    import nowhere


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Box:
    width: int
    label: str = ""


class Model(pydantic.BaseModel):
    size: int = pydantic.Field(gt=0)


def offered(call):
    found = describe("m", call, Declaration(call.__name__, {}))
    jsonschema.Draft202012Validator.check_schema(found.parameters)
    return found


def test_a_plain_signature_becomes_a_strict_schema():
    def work(path: str, depth: int = 3, *, scale: float | None = None, rest: Any = None) -> nowhere.Thing:
        """Does the work.

        At length.
        """

    found = offered(work)
    assert found.name == "m.work"
    assert found.summary == "Does the work."
    assert found.parameters == {
        "type": "object",
        "properties": {
            "path": {"type": "string"},
            "depth": {"type": "integer", "default": 3},
            "scale": {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None},
            "rest": {"default": None},
        },
        "required": ["path"],
        "additionalProperties": False,
    }


def test_keyword_rest_opens_the_schema():
    def work(**rest: int) -> None: ...

    found = offered(work)
    assert found.parameters["additionalProperties"] == {"type": "integer"}
    assert found.convert({"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    ("annotation", "given", "expected"),
    [
        (Path, "/x", Path("/x")),
        (dt.datetime, "2024-05-01T10:00:00Z", dt.datetime(2024, 5, 1, 10, tzinfo=dt.UTC)),
        (dt.date, "2024-05-01", dt.date(2024, 5, 1)),
        (Colour, "red", Colour.RED),
        (Literal["a", 2], 2, 2),
        (Box, {"width": 2}, Box(2)),
        (list[Box], [{"width": 2, "label": "x"}], [Box(2, "x")]),
        (dict[str, list[int]], {"a": [1]}, {"a": [1]}),
        (float, 1, 1.0),
        (Annotated[int, "how many"], 4, 4),
        (Model, {"size": 2}, Model(size=2)),
        (tuple[int, str], [1, "a"], (1, "a")),
        (set[int], [1, 2], {1, 2}),
        (Annotated[int, pydantic.Field(gt=1)], 2, 2),
        (dt.timedelta, "PT5S", dt.timedelta(seconds=5)),
    ],
)
def test_arguments_become_what_the_annotation_says(annotation, given, expected):
    def work(x) -> None: ...

    work.__annotations__["x"] = annotation
    found = offered(work)
    jsonschema.Draft202012Validator(found.parameters).validate({"x": given})
    assert found.convert({"x": given}) == {"x": expected}


@pytest.mark.parametrize(
    ("annotation", "given"),
    [
        (int, "5"), (int, True), (int, 1.5), (str, 5), (float, "1"), (bool, 1), (list[int], [1, "x"]),
        (Colour, "green"), (Literal["a"], "b"), (Box, {"width": "x"}), (Box, {}), (Box, 3), (dt.date, "soon"),
        (Model, {"size": 0}),
        (int | None, "x"), (dict[str, int], []),
    ],
)  # fmt: skip
def test_arguments_of_a_wrong_type_are_refused_by_name(annotation, given):
    def work(x) -> None: ...

    work.__annotations__["x"] = annotation
    with pytest.raises(BadArguments, match="x"):
        offered(work).convert({"x": given})


@pytest.mark.parametrize("annotation", [int, Model])
def test_missing_and_unknown_arguments_are_refused_by_name(annotation):
    def work(x, y: int = 0) -> None: ...

    work.__annotations__["x"] = annotation
    found = offered(work)
    with pytest.raises(BadArguments, match="x"):
        found.convert({})
    with pytest.raises(BadArguments, match="z"):
        found.convert({"x": 1, "z": 1})


def test_schemas_by_pydantic_are_as_strict_and_carry_no_titles():
    def work(model: Model, count: Annotated[int, pydantic.Field(description="how many")] = 1) -> None: ...

    found = offered(work)
    assert found.parameters["additionalProperties"] is False
    assert found.parameters["required"] == ["model"]
    assert found.parameters["properties"]["count"] == {"type": "integer", "default": 1, "description": "how many"}
    assert found.convert({"model": {"size": 1}}) == {"model": Model(size=1), "count": 1}


def test_positional_parameters_cannot_be_offered():
    def rest(*parts: int) -> None: ...

    def only(x: int, /) -> None: ...

    for call in (rest, only):
        with pytest.raises(Undescribable, match="positional"):
            offered(call)


def test_a_type_that_no_json_can_give_cannot_be_offered():
    def work(engine: object, thread: Path, lock: type[Exception] | Bench) -> None: ...

    class Bench: ...

    work.__annotations__["lock"] = Bench
    with pytest.raises(Undescribable, match="cannot be given as JSON"):
        offered(work)


def test_a_type_that_cannot_be_found_is_told():
    def work(x: nowhere.Thing) -> None: ...

    with pytest.raises(Undescribable, match="nowhere"):
        offered(work)
