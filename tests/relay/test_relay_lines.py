"""Bytes into lines, however they are cut."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_scheduler.lines import Lines, TooLong


def taken(lines):
    found = []
    while (line := lines.take()) is not None:
        found.append(line)
    return found


@given(st.lists(st.binary(max_size=20).map(lambda part: part.replace(b"\n", b"")), max_size=8), st.data())
def test_every_line_comes_out_once_and_whole_wherever_the_chunks_are_cut(parts, data):
    stream = b"".join(part + b"\n" for part in parts)
    lines, found = Lines(0), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        lines.feed(stream[:cut])
        stream = stream[cut:]
        found += taken(lines)
    assert found == [part + b"\n" for part in parts]
    assert lines.size == 0


@given(st.lists(st.integers(0, 30), min_size=1, max_size=6), st.integers(1, 40))
def test_exactly_the_lines_over_the_limit_are_too_long(sizes, cut):
    lines, found = Lines(10), []
    stream = b"".join(b"x" * size + b"\n" for size in sizes)
    for start in range(0, len(stream), cut):
        lines.feed(stream[start : start + cut])
        found += taken(lines)
    assert [isinstance(line, TooLong) for line in found] == [size > 10 for size in sizes]
    assert [line.size if isinstance(line, TooLong) else len(line) - 1 for line in found] == sizes


def test_an_endless_line_is_not_kept():
    lines = Lines(1000)
    for _ in range(100):
        lines.feed(b"x" * 1000)
        assert lines.take() is None
        assert lines.size <= 2000


def test_what_is_left_at_the_end_is_a_line():
    lines = Lines(0)
    lines.feed(b"a\nb")
    lines.finish()
    assert taken(lines) == [b"a\n", b"b\n"]


@pytest.mark.parametrize(
    ("message", "number"),
    [
        ({"jsonrpc": "2.0", "id": 7, "method": "m", "params": {}}, "7"),
        ({"id": 'a"b', "jsonrpc": "2.0", "method": "m"}, json.dumps('a"b')),
        ({"method": "m", "params": {"id": 8}, "jsonrpc": "2.0", "id": 7}, "7"),
        ({"method": "m", "id": -7, "jsonrpc": "2.0"}, "-7"),
        ({"jsonrpc": "2.0", "method": "m", "params": {"id": 8}}, ""),
        ({"jsonrpc": "2.0", "id": 7, "result": {}}, ""),
        ({"jsonrpc": "2.0", "method": "m", "id": 7, "params": {}}, ""),
    ],
)
def test_the_id_of_a_long_request_is_found_where_clients_write_it_and_never_guessed(message, number):
    assert TooLong(json.dumps(message).encode()).request_id() == number
