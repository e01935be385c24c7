"""Environments of tasks, over the lives of engines."""

import pytest

from mcp_scheduler.ports import Environment
from mcp_scheduler.service.environments import Environments
from mcp_scheduler.store.memory import MemoryStore

HERE = Environment("key", "/usr/bin/python3", "/tmp", (), ("t.py",), {"PATH": "/bin"})


class Catalogue:
    def __init__(self):
        self.known = []

    def know(self, environment):
        self.known.append(environment)


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.anyio
async def test_what_an_ended_task_names_is_known_again_and_read_once():
    store = MemoryStore()
    await store.open()
    before = Environments(store, Catalogue())
    before.know(HERE)
    await before.keep("key")
    catalogue = Catalogue()
    after = Environments(store, catalogue)
    await after.load(["key", "never seen"])
    await after.load(["key"])
    assert after.get("key") == HERE
    assert catalogue.known == [HERE]
