"""What a task was given to do, as people read it."""

import json

import pytest

from mcp_scheduler.service.given import given


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ({"command": ["/bin/sh", "-c", "a | b"], "cwd": "/w", "env": {"KEY": "secret"}}, ("/bin/sh -c 'a | b'", "/w")),
        ({"command": ["/bin/cat", {"$result": "a-1"}], "cwd": "/w"}, ('/bin/cat {"$result": "a-1"}', "/w")),
        ({"function": "m.f", "arguments": {"path": "ü", "n": 3}}, ('{"path": "ü", "n": 3}', "")),
        ({"function": "m.f", "arguments": {}}, ("", "")),
        ({}, ("", "")),
    ],
)  # fmt: skip
def test_a_call_is_told_whole_but_for_its_variables(call, told):
    assert given(json.dumps(call).encode()) == told


def test_a_call_of_a_megabyte_is_told_by_its_beginning():
    text, _ = given(json.dumps({"command": ["/bin/echo", "x" * 1_000_000]}).encode())
    assert (len(text), text[-2:]) == (4000, "x…")
