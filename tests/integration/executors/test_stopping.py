"""Stops at the moments that a real worker hits once in a thousand runs."""

from __future__ import annotations

import os
import signal
import time

import pytest

from mcp_scheduler.executors.local.stopping import Stopping
from mcp_scheduler.sdk.now import Now

LATE = 1e9  # seconds: any grace time is over


@pytest.fixture
def now(tmp_path):
    fd = Now.create(str(tmp_path / "now"))
    now = Now(fd)
    os.close(fd)
    yield now
    now.close()


@pytest.fixture
def struck():
    return []


@pytest.fixture
def stopping(now, struck):
    return Stopping(now, struck.append)


def runs(now, attempt):
    """The call before it is over, this one runs."""
    if now.running() is not None:
        now.end()
    return now.begin(attempt)


def test_a_stop_of_a_call_that_does_not_run_hits_nobody(now, stopping, struck):
    runs(now, "a-1.1")
    assert not stopping.stop("a-2.1", "cancelled", 1.0)
    now.end()
    assert not stopping.stop("a-1.1", "cancelled", 1.0)
    assert struck == []
    assert stopping.kill_at is None


def test_a_call_that_goes_on_after_the_grace_time_is_killed_again_and_again(now, stopping, struck):
    runs(now, "a-1.1")
    assert stopping.stop("a-1.1", "cancelled", 1.0)
    stopping.on_time(time.monotonic())
    assert signal.SIGKILL not in struck
    stopping.on_time(LATE)
    stopping.on_time(2 * LATE)
    assert struck.count(signal.SIGKILL) == 2


def test_the_first_reason_stays_and_the_shorter_grace_time_counts(now, stopping):
    sequence = runs(now, "a-1.1")
    stopping.stop("a-1.1", "timeout", 100.0)
    stopping.stop("a-1.1", "cancelled", 1.0)
    assert stopping.told == now.stop_asked == (sequence, "timeout")
    assert stopping.kill_at < time.monotonic() + 50


def test_a_worker_that_is_in_a_later_call_is_spared(now, stopping, struck):
    runs(now, "a-1.1")
    stopping.stop("a-1.1", "cancelled", 1.0)
    runs(now, "a-2.1")
    stopping.on_time(LATE)
    assert signal.SIGKILL not in struck
    assert stopping.kill_at is None


def test_a_later_call_has_the_whole_of_its_own_grace_time(now, stopping):
    runs(now, "a-1.1")
    stopping.stop("a-1.1", "cancelled", 1.0)
    runs(now, "a-2.1")
    stopping.stop("a-2.1", "cancelled", 100.0)
    assert stopping.kill_at > time.monotonic() + 50


def test_who_spares_one_call_spares_no_other(now, stopping, struck):
    runs(now, "a-1.1")
    stopping.stop("a-1.1", "cancelled", 1.0)
    runs(now, "a-2.1")
    stopping.stop("a-2.1", "cancelled", 1.0)
    stopping.spare("a-1.1")  # the engine heard of the first end after it had asked for the second
    stopping.on_time(LATE)
    assert signal.SIGKILL in struck


def test_the_end_of_a_worker_is_not_taken_back(now, stopping, struck):
    runs(now, "a-1.1")
    stopping.stop("a-1.1", "cancelled", 1.0)
    stopping.end(1.0)
    stopping.spare("a-1.1")
    runs(now, "a-2.1")
    stopping.on_time(LATE)
    assert now.end_asked
    assert now.stop_asked == (1, "cancelled"), "the call still hears why it is stopped"
    assert signal.SIGKILL in struck
