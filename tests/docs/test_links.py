"""Links lead somewhere: to files that are there, and to headings that these files have."""

from __future__ import annotations

from pathlib import Path

import pytest
from doc_pages import DOCS, ROOT, anchors, links, name_of, pages

OUTSIDE = ("https://", "http://", "mailto:")


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_link_of_the_page_leads_somewhere(page: Path):
    broken: list[str] = []
    for link in links(page):
        if link.startswith(OUTSIDE):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or not target.is_relative_to(ROOT):
            broken.append(f"{link}: there is no such file")
        elif anchor and anchor not in anchors(target):
            broken.append(f"{link}: {target.name} has no such heading")
    assert not broken, f"{name_of(page)}: {broken}"


def test_every_page_can_be_reached_from_the_readme():
    seen: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        here = (link.partition("#")[0] for link in links(page) if not link.startswith(OUTSIDE))
        ahead += [target for link in here if link and (target := (page.parent / link).resolve()).exists()]
    unreachable = [name_of(page) for page in DOCS.rglob("*.md") if page not in seen]
    assert not unreachable


def test_a_broken_link_and_a_missing_heading_are_found(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A `title` here\n\n[one](gone.md) `[no](link.md)` [two](#a-title-here)\n\n```\n[not](one.md)\n```\n"
    )
    assert links(page) == ["gone.md", "#a-title-here"]
    assert anchors(page) == {"a-title-here"}
