"""Records of ends go when nobody needs them, also where the disk refuses that at first."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.executors.local import records
from mcp_scheduler.executors.local.ends import Ends, EndsKept, files
from mcp_scheduler.executors.local.settling import Settling

pytestmark = pytest.mark.anyio


@pytest.fixture
def refusing(monkeypatch):
    """A disk that removes nothing the first so many times."""
    left = [0]
    really = Path.unlink

    def unlink(path, *words, **options):
        if left[0]:
            left[0] -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        really(path, *words, **options)

    monkeypatch.setattr(Path, "unlink", unlink)
    return left


async def test_what_the_disk_does_not_remove_goes_with_the_next(tmp_path, refusing, caplog):
    kept = EndsKept(tmp_path)
    kept.decided()
    spawned = []
    settling = Settling(tmp_path, kept, lambda work: spawned.append(asyncio.ensure_future(work)))
    for number in (1, 2):
        records.place(tmp_path, f"a.{number}").touch()
        settling.reported(AttemptId("a", number), None)
    ends = Ends(tmp_path, "shim")
    ends.add("b.1", {})
    kept.told("b.1", ends.name)
    settling.reported(AttemptId("b", 1), None)

    refusing[0] = 1
    settling.settle([AttemptId("a", 1)])
    settling.flush()
    await asyncio.gather(*spawned)
    assert "stay for now" in caplog.text

    refusing[0] = 1
    kept.gone("shim")
    settling.settle([AttemptId("b", 1)])
    settling.flush()
    await asyncio.gather(*spawned)
    assert records.place(tmp_path, "a.1").exists()

    settling.settle([AttemptId("a", 2)])
    settling.flush()
    await asyncio.gather(*spawned)
    assert not list(tmp_path.glob("*.exit"))
    assert not files(tmp_path)
