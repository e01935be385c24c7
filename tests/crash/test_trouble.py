"""The trouble campaign in small."""

from __future__ import annotations

import pytest

from campaigns.damage import SPOILS
from campaigns.trouble import campaign, clock, full_disk, processes


def test_damaged_databases_are_refused_or_whole():
    verdict = campaign(2 * len(SPOILS), seed=5, cases=())
    assert not verdict.violations


@pytest.mark.parametrize("case", [clock, processes, full_disk], ids=lambda case: case.__name__)
def test_trouble_is_told_and_borne(case):
    verdict = campaign(0, seed=1, cases=[case])
    assert not verdict.violations
