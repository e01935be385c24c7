"""Rows of files as the items of a map."""

from pathlib import Path

import pytest

from mcp_scheduler import errors
from mcp_scheduler.requests import MapOver
from mcp_scheduler.service.mapping import advice_about, items_of

SEPARATORS = "one\u2028two\x85three\x0bfour"  # ends of lines for Python's texts, and for no CSV or JSON


def rows(file: Path, text: str) -> list[object]:
    file.write_bytes(text.encode())
    return items_of(MapOver(rows=str(file)))


def test_a_value_in_quotes_may_have_several_lines(tmp_path: Path) -> None:
    found = rows(tmp_path / "a.csv", 'name,text\r\nx,"first\nsecond, and ""third"""\r\ny,\r\n')
    assert found == [{"name": "x", "text": 'first\nsecond, and "third"'}, {"name": "y", "text": ""}]


def test_signs_that_end_lines_elsewhere_stay_in_their_values(tmp_path: Path) -> None:
    assert rows(tmp_path / "a.csv", f"text\n{SEPARATORS}\n") == [{"text": SEPARATORS}]
    assert rows(tmp_path / "a.jsonl", '{"text": "one\u2028two"}\r\n\n[1]\n') == [{"text": "one\u2028two"}, [1]]


def test_a_quote_that_is_left_open_over_a_long_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidRequest, match=r"is no CSV that can be read: field larger.*JSONL"):
        rows(tmp_path / "a.csv", 'text\n"' + "x" * 200_000)


def test_a_mark_of_the_byte_order_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    assert rows(tmp_path / "a.csv", "\ufeffn\n1\n") == [{"n": "1"}]


@pytest.mark.parametrize(("name", "is_told"), [("a.csv", True), ("a.tsv", True), ("a.JSONL", False), (None, False)])
def test_that_values_of_a_csv_are_texts_is_told_where_it_may_be_the_cause(name: str | None, is_told: bool) -> None:
    over = MapOver(rows=name) if name else MapOver(items=[1])
    assert ("text" in advice_about(over)) is is_told
