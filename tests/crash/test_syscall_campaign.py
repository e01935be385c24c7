"""The syscall campaign in small: a few operations of the disk are hit in each way."""

from __future__ import annotations

from campaigns.house import opened
from campaigns.syscalls import SETTINGS, campaign

BUSY = 30.0  # seconds that a recovery may take while other tests run


def test_a_fault_at_any_operation_loses_nothing_and_leaves_nothing_by_half():
    with opened(SETTINGS) as house:
        verdict = campaign(house, every=240, seed=4, recovery=BUSY, lanes=2)
    assert not verdict.violations
    assert int(verdict.figures["faults dealt"].split()[0]) > 0
