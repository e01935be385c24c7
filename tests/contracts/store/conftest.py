from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from store_parts import Place

from mcp_scheduler.ports import Store
from mcp_scheduler.store.memory import MemoryStore
from mcp_scheduler.store.sqlite import SqliteStore


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["sqlite", "memory"])
async def place(request: pytest.FixtureRequest, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Place]:
    memory = MemoryStore()
    found = Place(lambda: SqliteStore(tmp_path / "tasks.db") if request.param == "sqlite" else memory)
    yield found
    await found.leave()


@pytest.fixture
async def store(place: Place) -> Store:
    return (await place.open())[0]
