"""The power-loss campaign in small: nothing is lost, and a disk that lies about its fsyncs is found out."""

from __future__ import annotations

import pytest

from campaigns.disk import Disk
from campaigns.house import opened
from campaigns.power import SETTINGS, Plan, judge, record

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
