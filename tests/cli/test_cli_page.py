"""The reference page of the command line is what the program says."""

import importlib.util
from pathlib import Path

from mcp_scheduler.cli import app

PAGES = Path(__file__).parents[2] / "docs" / "reference"


def generator():
    spec = importlib.util.spec_from_file_location("generate_cli", PAGES / "generate_cli.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_not_stale():
    assert generator().PAGE.read_text(encoding="utf-8") == generator().page(), "run `make docs`"


def test_the_page_has_every_verb():
    page = generator().page()
    for verb in app.VERBS:
        assert f"\n## {verb}\n" in page
