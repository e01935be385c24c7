"""The client campaign and the fuzz in small."""

from __future__ import annotations

import pytest

from campaigns.clients import cancelled_requests, closed_output
from campaigns.fuzz import SETTINGS, fuzz
from campaigns.house import opened
from campaigns.trouble import Course

pytestmark = pytest.mark.anyio


async def test_requests_taken_back_at_random_leave_nothing_behind_and_lose_no_other():
    course = Course()
    with opened() as house:
        await cancelled_requests(house.folder, course, cancels=400, seed=7)
    assert not course.broken


def test_a_client_that_closes_our_output_is_not_waited_for(house):
    course = Course()
    closed_output(house.house, course)
    assert not course.broken


async def test_whatever_is_sent_valid_requests_are_answered_without_tracebacks():
    with opened(SETTINGS) as house:
        verdict = await fuzz(house, calls=400, seed=5)
    assert not verdict.violations
