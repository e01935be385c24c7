from __future__ import annotations

import datetime as dt
import enum
import json
from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path

import pydantic
import pytest

from mcp_scheduler.sdk.failures import LONGEST, told
from mcp_scheduler.sdk.results import DEEPEST, NotJson, encode, encoded_bytes, store


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Box:
    where: Path
    when: dt.date


class Model(pydantic.BaseModel):
    at: dt.datetime


class Scalar:
    """As numpy's: known by its class in the loaded module."""

    def item(self):
        return 7


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ((1, 2), [1, 2]),
        ({1: "é"}, {"1": "é"}),
        (Box(Path("/x"), dt.date(2024, 1, 2)), {"where": "/x", "when": "2024-01-02"}),
        ([Model(at=dt.datetime(2024, 1, 2, tzinfo=dt.UTC))], [{"at": "2024-01-02T00:00:00Z"}]),
        (Colour.RED, "red"),
        (namedtuple("P", "x")(1), [1]),  # noqa: PYI024 (what old code returns)
    ],
)
def test_what_people_return_becomes_json(value, expected):
    assert json.loads(encode(value)) == expected


def test_numpy_scalars_become_numbers_where_numpy_is_loaded(monkeypatch):
    numpy = type("numpy", (), {"generic": Scalar})
    monkeypatch.setitem(__import__("sys").modules, "numpy", numpy)
    assert encode({"x": Scalar()}) == '{"x":7}'


def cyclic():
    value = []
    value.append(value)
    return value


def deep(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        {"x": float("inf")},
        object(),
        {1, 2},
        b"bytes",
        {(1, 2): 3},
        cyclic(),
        deep(5000),
        deep(DEEPEST + 1),
    ],
)
def test_what_is_not_json_is_refused_with_the_way_out(value):
    with pytest.raises(NotJson, match=r"current_task\(\)\.folder"):
        encode(value)


def test_brackets_in_texts_do_not_count_as_depth():
    assert encode("[" * 500 + '"\\' + "{" * 500)
    assert encode([[] for _ in range(1000)])


def test_half_a_character_and_too_many_bytes_are_refused():
    with pytest.raises(NotJson, match="Unicode"):
        encoded_bytes(encode("\ud800"), 100)
    with pytest.raises(NotJson, match="101 bytes"):
        encoded_bytes("x" * 101, 100)


def test_a_stored_result_lies_where_its_content_says(tmp_path):
    name = store(tmp_path, b"[1]")
    assert store(tmp_path, b"[1]") == name
    assert (tmp_path / name[:2] / name).read_bytes() == b"[1]"
    assert [path.name for path in (tmp_path / name[:2]).iterdir()] == [name]


def test_an_error_is_told_with_its_cause_and_the_users_frames():
    def fail():
        try:
            {}["inner"]
        except KeyError as error:
            raise ValueError("outer") from error

    with pytest.raises(ValueError, match="outer") as raised:
        fail()
    lines = told(raised.value).splitlines()
    assert lines[:2] == ["ValueError: outer", "caused by KeyError: 'inner'"]
    assert "in fail: raise ValueError" in lines[-1]


def test_an_error_of_any_size_and_kind_is_told_in_bounds():
    class Nasty(Exception):
        def __str__(self):
            raise RuntimeError

    assert len(told(ValueError("\ud800é" * 100_000)).encode()) <= LONGEST
    assert "RuntimeError" in told(Nasty())
