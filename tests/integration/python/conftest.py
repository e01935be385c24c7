from __future__ import annotations

from collections.abc import AsyncIterator
from tempfile import TemporaryDirectory

import pytest
from python_door import FUNCTIONS

from mcp_scheduler import Scheduler


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def scheduler() -> AsyncIterator[Scheduler]:
    """The door of a real engine in this process, one for all tests of a file."""
    with TemporaryDirectory(prefix="door-") as home:
        async with Scheduler.open(home, functions=[FUNCTIONS], principal="tester") as opened:
            yield opened
