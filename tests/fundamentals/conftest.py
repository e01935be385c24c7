import shutil
import tempfile
from pathlib import Path

import pytest

from mcp_scheduler import Scheduler


@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
async def scheduler():
    """An engine in this process, for the tests of one module. (Its folder has a short name: sockets need that.)"""
    home = tempfile.mkdtemp(prefix="home-")
    async with Scheduler.open(home, functions=[str(Path(__file__).with_name("kitchen.py"))]) as scheduler:
        yield scheduler
    shutil.rmtree(home, ignore_errors=True)
