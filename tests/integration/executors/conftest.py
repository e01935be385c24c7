from __future__ import annotations

import os
import select
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "contracts"))  # the stage is shared with the contract suite

from executor_stage import LocalStage, processes_of


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def root(monkeypatch):
    """A folder with a short path (sockets lie in it), which is also the mark by which leaks are found."""
    root = Path(tempfile.mkdtemp(prefix="x-", dir="/tmp"))
    monkeypatch.setenv("TMPDIR", str(root))  # passed on to the zygote and, by the environment, to workers
    yield root
    shutil.rmtree(root)


@pytest.fixture
def leak_check(root):
    """Whatever a test started is gone when it ends."""
    yield
    for pid in processes_of(root):  # a shim that has just told the end of its worker is on its way out
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        select.select([handle], [], [], 5)
        os.close(handle)
    left = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in processes_of(root)}
    assert not left


@pytest.fixture
async def stage(root, leak_check, anyio_backend):
    stage = LocalStage(root)
    await stage.open()
    yield stage
    await stage.close()
