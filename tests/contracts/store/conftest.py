from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from store_parts import Place

from mcp_scheduler.core.changes import Changes
from mcp_scheduler.ports import Store
from mcp_scheduler.store.memory import MemoryStore
from mcp_scheduler.store.spot import Spot
from mcp_scheduler.store.sqlite import SqliteStore


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class AtOnce(Spot):
    """Every commit that the thread leaves room for is written by the event loop."""

    def takes(self, changes: Changes) -> bool:
        return True


@pytest.fixture(params=["sqlite", "sqlite at once", "memory"])
async def place(request: pytest.FixtureRequest, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Place]:
    memory, path = MemoryStore(), tmp_path / "tasks.db"
    ways: dict[str, Callable[[], Store]] = {
        "sqlite": lambda: SqliteStore(path),
        "sqlite at once": lambda: SqliteStore(path, AtOnce()),
        "memory": lambda: memory,
    }
    found = Place(ways[request.param])
    yield found
    await found.leave()


@pytest.fixture
async def store(place: Place) -> Store:
    return (await place.open())[0]
