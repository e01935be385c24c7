from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from mcp_scheduler.sdk.now import LONGEST_ATTEMPT, LONGEST_OUTCOME, SLOTS, Now


@pytest.fixture
def now(tmp_path):
    fd = Now.create(str(tmp_path / "now"))
    now = Now(fd)
    os.close(fd)
    yield now
    now.close()


def reopened(tmp_path):
    fd = os.open(tmp_path / "now", os.O_RDWR)
    try:
        return Now(fd)
    finally:
        os.close(fd)


def test_the_running_call_is_seen_by_another_mapping(now, tmp_path):
    now.begin("a-1.1", timeout=5)
    other = reopened(tmp_path)
    running = other.running()
    assert (running.attempt, running.sequence) == ("a-1.1", 1)
    assert running.deadline - running.began == pytest.approx(5)
    now.end()
    assert other.running() is None
    other.close()


def test_an_ended_call_counts_as_begun_until_it_is_forgotten(now, tmp_path):
    now.begin("a-1.1")
    now.end()
    now.begin("a-2.1")
    other = reopened(tmp_path)
    assert sorted(other.begun()) == ["a-1.1", "a-2.1"]
    now.forget("a-1.1")
    now.forget("never-there.1")
    assert other.begun() == ["a-2.1"]
    other.close()


def test_the_file_is_full_when_nothing_is_forgotten(now):
    for number in range(SLOTS):
        assert not now.is_full
        now.begin(f"a-{number}.1")
        now.end()
    assert now.is_full
    now.forget("a-7.1")
    assert not now.is_full


def test_an_id_that_has_no_room_is_refused_and_takes_no_slot(now):
    for attempt in ("", "x" * (LONGEST_ATTEMPT + 1)):
        with pytest.raises(ValueError, match="bytes"):
            now.begin(attempt)
    assert now.begun() == []


def test_a_stop_names_the_run_it_is_meant_for(now, tmp_path):
    assert now.stop_asked == (0, "")
    sequence = now.begin("a-1.1")
    other = reopened(tmp_path)
    other.ask_stop(sequence, "timeout")
    assert now.stop_asked == (sequence, "timeout")
    now.end()
    assert now.begin("a-2.1") != sequence
    other.close()


def test_another_file_is_refused(tmp_path):
    (tmp_path / "junk").write_bytes(b"junk")
    with (tmp_path / "junk").open("rb+") as junk, pytest.raises(ValueError, match="not a now file"):
        Now(junk.fileno())


def test_after_kill_9_in_mid_work_the_file_says_what_had_begun(now, tmp_path):
    script = (
        "import os, sys\nfrom mcp_scheduler.sdk.now import Now\nnow = Now(os.open(sys.argv[1], os.O_RDWR))\n"
        "now.begin('a-1.1'); now.end(); now.begin('a-2.1'); os.kill(os.getpid(), 9)"
    )
    found = subprocess.run([sys.executable, "-c", script, tmp_path / "now"], check=False)
    assert found.returncode == -signal.SIGKILL
    assert now.running().attempt == "a-2.1"
    assert sorted(now.begun()) == ["a-1.1", "a-2.1"]


def test_after_kill_9_the_file_says_how_calls_ended_that_had_not_been_told(now, tmp_path):
    script = (
        "import os, sys\nfrom mcp_scheduler.sdk.now import Now\nnow = Now(os.open(sys.argv[1], os.O_RDWR))\n"
        "now.begin('a-1.1'); assert now.end(b'{\"result\":\"1\"}')\n"
        "now.begin('a-2.1'); assert not now.end(b'x' * 1000)\n"
        "now.begin('a-3.1'); os.kill(os.getpid(), 9)"
    )
    found = subprocess.run([sys.executable, "-c", script, tmp_path / "now"], check=False)
    assert found.returncode == -signal.SIGKILL
    assert now.outcomes() == {"a-1.1": b'{"result":"1"}'}
    assert sorted(now.begun()) == ["a-1.1", "a-2.1", "a-3.1"]


def test_the_longest_outcome_of_the_last_slot_has_room(now):
    for number in range(SLOTS):
        now.begin(f"a-{number}.1")
        assert now.end(b"%03d" % number + b"x" * (LONGEST_OUTCOME - 3))
    assert now.outcomes() == {
        f"a-{number}.1": b"%03d" % number + b"x" * (LONGEST_OUTCOME - 3) for number in range(SLOTS)
    }


def test_the_next_call_in_a_slot_has_not_the_outcome_of_the_last_one(now):
    now.begin("a-1.1")
    now.end(b"{}")
    now.forget("a-1.1")
    assert now.outcomes() == {}
    now.begin("a-2.1")
    assert now.outcomes() == {}
