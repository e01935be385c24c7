"""The power-loss campaign in small: nothing is lost, and a disk that lies about its fsyncs is found out."""

from __future__ import annotations

import pytest

from campaigns.disk import Disk
from campaigns.house import opened
from campaigns.judge import Stored
from campaigns.power import SETTINGS, Plan, judge, record
from campaigns.reckoning import ignored_records

pytestmark = pytest.mark.anyio


async def test_what_was_fsynced_is_enough_and_a_lying_disk_is_found_out():
    plan = Plan(points=15, seed=3, tasks=15, kills=1, clients=2)
    with opened(SETTINGS) as house:
        disk = Disk(house.folder)
        await record(plan, house, disk)
        verdict = await judge(plan, house, disk)
        assert not verdict.violations
        assert verdict.figures["points, starts of an engine"] == "15, 30"
        lied = await judge(plan, house, disk, lying=True)
    assert any("was acknowledged and is not there" in sentence for sentence in lied.violations)


@pytest.mark.parametrize(
    ("record", "stored", "contradicts"),
    [
        ({"seconds": 0.1}, None, False),
        ({"seconds": 0.1}, "crashed", True),
        ({"reason": "error"}, "error", False),
        ({"reason": "error"}, None, True),
        ({"reason": "lost"}, "crashed", False),
    ],
)
def test_a_record_contradicts_only_another_end(record, stored, contradicts):
    task = Stored("a", "token", "a", "succeeded", stored, "", [], None, "", {1: (stored, False)})
    assert bool(list(ignored_records({("a", 1): record}, {"a": task}))) is contradicts
