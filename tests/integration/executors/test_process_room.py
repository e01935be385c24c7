"""Starts at the limit of processes."""

from __future__ import annotations

import errno
import os

import pytest

from mcp_scheduler.executors.local import process


@pytest.fixture
def naps(monkeypatch):
    """Time that passes in naps only."""
    taken: list[float] = []
    monkeypatch.setattr(process.time, "sleep", taken.append)
    monkeypatch.setattr(process.time, "monotonic", lambda: sum(taken))
    return taken


def full():
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def test_a_start_waits_for_room(naps):
    assert process.patiently(lambda: 7 if len(naps) == 2 else full()) == 7


def test_a_start_gives_up_where_no_room_comes(naps):
    with pytest.raises(BlockingIOError):
        process.patiently(full)
    assert process.ROOM <= sum(naps) < process.ROOM + 1


def test_any_other_refusal_is_told_at_once(naps):
    with pytest.raises(PermissionError):
        process.patiently(lambda: os.posix_spawn("/", ["/"], {}))
    assert naps == []


def test_a_command_that_meets_the_limit_is_started_when_there_is_room(monkeypatch):
    spawn, tries = os.posix_spawn, []

    def scarce(*args, **options):
        tries.append(args)
        return full() if len(tries) < 3 else spawn(*args, **options)

    monkeypatch.setattr(os, "posix_spawn", scarce)
    monkeypatch.chdir("/")
    pid = process.spawn_command(["/bin/true"], {}, "/", (0, 1, 2))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
