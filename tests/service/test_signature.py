"""Arguments of a function in one line."""

import pytest

from mcp_scheduler.signature import signature


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"properties": {"n": {"type": "integer"}}, "required": ["n"]}, "n: integer"),
        ({"properties": {"n": {"type": "array", "items": {"type": "number"}, "default": []}}}, "n: array[number] = []"),
        ({"properties": {"k": {"enum": ["mean", "most"], "default": "mean"}}}, "k: 'mean' | 'most' = 'mean'"),
        (
            {"properties": {"k": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}}},
            "k: string | null = null",
        ),
        ({"properties": {"p": {"$ref": "#/$defs/Point"}}, "required": ["p"]}, "p: Point"),
        ({"properties": {"t": {"type": "string"}}}, "t: string = …"),
        ({"properties": {}, "additionalProperties": True}, "**others"),
        ({}, ""),
    ],
)
def test_a_schema_is_told_as_a_reader_of_python_would_write_it(schema, text):
    assert signature(schema) == text
