"""Sizes and words, without a list of exceptions."""

import ast
import re
from pathlib import Path

import pytest

from mcp_scheduler import errors
from mcp_scheduler.core.states import TRANSITIONS, Cause, Reason, State

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "mcp_scheduler"
REFERENCE = ROOT / "docs" / "reference"
FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = [str(file.relative_to(ROOT)) for file in FILES]
BANNED = {"manager", "handler", "helper", "utils", "util", "base", "data", "info"}

LINES_OF_A_FILE = 400
LINES_OF_A_FUNCTION = 50


def words(name):
    """`SomeName_here` → some, name, here; plurals count as their singular."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name)
    return {part.lower() for part in parts} | {part.lower().removesuffix("s") for part in parts}


def definitions(file, *kinds):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def test_there_is_something_to_look_at():
    assert len(FILES) > 50


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_a_file_is_short_enough_to_be_read_at_once(file):
    assert len(file.read_text(encoding="utf-8").splitlines()) <= LINES_OF_A_FILE


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_a_function_fits_a_screen(file):
    """What it does, that is: the parameters of a command line's verb are a table."""
    functions = definitions(file, ast.FunctionDef, ast.AsyncFunctionDef)
    long = {one.name: one.end_lineno - one.body[0].lineno + 1 for one in functions}
    assert {name: lines for name, lines in long.items() if lines > LINES_OF_A_FUNCTION} == {}


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_modules_and_classes_are_named_with_nouns_of_the_field(file):
    classes = [one.name for one in definitions(file, ast.ClassDef)]
    assert {name: words(name) & BANNED for name in (file.stem, *classes) if words(name) & BANNED} == {}


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_a_module_says_what_it_is_for(file):
    if definitions(file, ast.FunctionDef, ast.ClassDef):
        assert ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))


def test_every_state_cause_and_reason_is_described():
    page = (REFERENCE / "states.md").read_text(encoding="utf-8")
    assert [word for word in (*State, *Cause, *Reason) if f"| `{word}` |" not in page] == []


def test_every_move_of_the_table_is_drawn():
    page = (REFERENCE / "states.md").read_text(encoding="utf-8")
    drawn = "\n".join(line for line in page.splitlines() if "-->" in line)
    assert [
        cause for _, cause in TRANSITIONS if cause not in drawn and cause not in page.partition("## Moves")[0]
    ] == []


def every(family):
    return [family, *(member for child in family.__subclasses__() for member in every(child))]


def test_every_code_of_an_error_is_described_and_stands_for_one_error():
    page = (REFERENCE / "errors.md").read_text(encoding="utf-8")
    codes = [error.code for error in every(errors.SchedulerError)[1:] if error.__module__ == errors.__name__]
    assert [code for code in codes if f"`{code}`" not in page] == []
    assert len(codes) == len(set(codes))


def test_the_core_reads_no_clock_and_draws_no_chance():
    imported = {
        name.name.partition(".")[0]
        for file in (*(PACKAGE / "core").glob("*.py"), *(PACKAGE / "policies").glob("*.py"))
        for node in definitions(file, ast.Import, ast.ImportFrom)
        for name in (node.names if isinstance(node, ast.Import) else [ast.alias(node.module or "")])
    }
    assert imported & {"time", "datetime", "random", "secrets", "uuid", "os", "asyncio", "logging"} == set()
