"""The project's pages: their blocks of code, their links, their anchors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^`]*)$")
_LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)(?: \"[^\"]*\")?\)")
_HEADING = re.compile(r"^#{1,6} +(?P<title>.+?) *$")
_CODE = re.compile(r"`[^`]*`")


class Block(NamedTuple):
    """A fenced block: its language, what else stands behind the fence (a file's name), its text and its line."""

    language: str
    title: str
    text: str
    line: int


def pages() -> list[Path]:
    """Every page that is written for readers."""
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    opened: tuple[str, str, int] | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        fence = _FENCE.match(line)
        if fence and opened is None:
            language, _, title = fence["info"].strip().partition(" ")
            opened, lines = (language, title.strip(), number), []
        elif fence and opened is not None and not fence["info"].strip():
            yield Block(opened[0], opened[1], "\n".join(lines) + "\n", opened[2])
            opened = None
        elif opened is not None:
            lines.append(line)
    assert opened is None, f"{name_of(page)}:{opened and opened[2]}: the block is not closed"


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    kept: list[str] = []
    inside = False
    for line in page.read_text(encoding="utf-8").splitlines():
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            kept.append(line)
    return "\n".join(kept) + "\n"


def links(page: Path) -> list[str]:
    """The targets of the page's links."""
    return [found["target"] for found in _LINK.finditer(_CODE.sub("``", prose(page)))]


def anchors(page: Path) -> set[str]:
    """The anchors of the page's headings, as a renderer of GitHub's kind makes them."""
    found: set[str] = set()
    for line in prose(page).splitlines():
        heading = _HEADING.match(line)
        if heading:
            anchor = re.sub(r"[^\w\- ]", "", heading["title"].replace("`", "").lower()).replace(" ", "-")
            while anchor in found:
                anchor += "-1"
            found.add(anchor)
    return found
