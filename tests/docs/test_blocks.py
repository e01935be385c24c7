"""Every block of code on the pages can be read by what it is written for: Python, JSON, TOML, the shell."""

from __future__ import annotations

import ast
import json
import subprocess
import tomllib
from pathlib import Path

import pytest
from doc_pages import Block, blocks, name_of, pages

from mcp_scheduler.settings import Settings

LANGUAGES = {"python", "console", "sh", "json", "toml", "text", "mermaid"}


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_blocks_can_be_read(page: Path):
    for block in blocks(page):
        where = f"{name_of(page)}:{block.line}"
        assert block.language in LANGUAGES, f"{where}: say what it is written in, not {block.language!r}"
        try:
            _read(block)
        except (SyntaxError, ValueError, AssertionError) as error:
            raise AssertionError(f"{where}: {error}") from error


def _read(block: Block) -> None:
    match block.language:
        case "python":
            compile(block.text, block.title or "<block>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        case "json" if "\n{" in block.text:  # several examples, a line each
            for line in block.text.splitlines():
                json.loads(line)
        case "json":
            json.loads(block.text)
        case "toml":
            Settings.model_validate(tomllib.loads(block.text))
        case "sh":
            _check_shell(block.text)
        case _:  # console blocks are run by test_tutorial.py
            assert block.text.strip(), "the block is empty"


def _check_shell(text: str) -> None:
    checked = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr
