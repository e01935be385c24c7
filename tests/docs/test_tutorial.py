"""The tutorial and the how-tos are done as they say: files are written, commands run, and what they show is seen."""

from __future__ import annotations

from pathlib import Path

import pytest
from doc_pages import DOCS, blocks, name_of
from doc_shell import fits, follow

PAGES = [DOCS / "tutorial" / "first-steps.md", *sorted((DOCS / "howto").glob("*.md"))]
FOLLOWED = [page for page in PAGES if any(block.language == "console" for block in blocks(page))]


@pytest.mark.parametrize("page", FOLLOWED, ids=name_of)
def test_what_the_page_shows_is_what_happens(page: Path):
    assert follow(page)


def test_shown_output_may_leave_things_out_but_not_differ():
    assert fits("train-7f3k9q2m succeeded in 12 ms: 3", "train-22222222 succeeded in 1.3 s: 3")
    assert fits("one\n...\nfour", "one\ntwo\nthree\nfour")
    assert not fits("train-7f3k9q2m succeeded in 12 ms: 3", "train-7f3k9q2m succeeded in 12 ms: 4")
    assert not fits("one\n...\nfour", "one\ntwo\nthree")
