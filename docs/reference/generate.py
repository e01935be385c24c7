"""Writes the reference pages from the program: `make docs`. A page that is stale fails tests/server/test_reference.py.

A generator beside this file is a module `generate_<page>` with a function `page() -> str`.
"""
# ruff: noqa: INP001, T201 - a script beside the pages that it writes, not a package

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent


def pages() -> dict[Path, Callable[[], str]]:
    """Each page with what writes it."""
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))
    names = sorted(file.stem.removeprefix("generate_") for file in HERE.glob("generate_*.py"))
    return {HERE / f"{name}.md": importlib.import_module(f"generate_{name}").page for name in names}


def main() -> None:
    """Write every page that has changed."""
    for path, page in pages().items():
        text = page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"{path.name} written")


if __name__ == "__main__":
    main()
