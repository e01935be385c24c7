from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from mcp_scheduler import errors
from mcp_scheduler.server.tools import TOOLS

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def generator():
    spec = importlib.util.spec_from_file_location("generate", REFERENCE / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["tools.md", "errors.md", "states.md"])
def test_the_page_is_as_the_program(name: str):
    text = generator().pages()[REFERENCE / name]()
    assert (REFERENCE / name).read_text(encoding="utf-8") == text, "The page is stale: run `make docs`."


def test_every_tool_and_argument_is_described():
    sections = (REFERENCE / "tools.md").read_text(encoding="utf-8").split("\n## ")
    told = {section.splitlines()[0]: section for section in sections}
    for tool in TOOLS.values():
        for argument in tool.takes["properties"]:
            assert f"| `{argument}` |" in told[tool.name], f"{tool.name}: {argument}"


def every(family: type[errors.SchedulerError]) -> list[type[errors.SchedulerError]]:
    return [family, *(member for child in family.__subclasses__() for member in every(child))]


def test_every_code_of_an_error_is_described_on_both_pages():
    tools = (REFERENCE / "tools.md").read_text(encoding="utf-8")
    codes = (REFERENCE / "errors.md").read_text(encoding="utf-8")
    for kind in every(errors.SchedulerError)[1:]:
        if kind.__module__ == errors.__name__:
            assert f"`{kind.code}`" in tools
            assert f"| `{kind.code}` |" in codes


def test_codes_are_told_apart():
    codes = [kind.code for kind in every(errors.SchedulerError) if kind.__module__ == errors.__name__]
    assert len(codes) == len(set(codes))
