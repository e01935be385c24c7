"""When workers are asked what their environment offers, and which of them."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from mcp_scheduler.executors.local import catalogue
from mcp_scheduler.executors.local.catalogue import Catalogues
from mcp_scheduler.executors.local.pool import Pool
from mcp_scheduler.executors.local.worker import Listener, Worker

pytestmark = pytest.mark.anyio

TOLD: dict[str, Any] = {"functions": [], "problems": []}


class Asked:
    """A worker that only counts the questions it is asked."""

    environment, slot, window, leaving, ready, adopted, devices = "here", "", {"one": 1}, False, True, False, ()

    def __init__(self) -> None:
        self.questions = 0

    def describe(self) -> None:
        self.questions += 1


class Workers:
    """A pool of one worker, idle or busy, and of those that are started."""

    def __init__(self) -> None:
        self.environments = {"here": None}
        self.worker = Asked()
        self.is_idle = True
        self.started: list[Asked] = []
        self.has_started = asyncio.Event()

    def idle(self, _environment: str) -> Asked | None:
        return self.worker if self.is_idle else None

    def busy(self, _environment: str) -> Asked | None:
        return None if self.is_idle else self.worker

    def take(self, _environment: str, _listener: object) -> Asked:
        self.started.append(Asked())
        self.has_started.set()
        return self.started[-1]

    def rest(self, worker: Asked) -> None: ...


@pytest.fixture
def pool() -> Workers:
    return Workers()


@pytest.fixture
def catalogues(pool: Workers) -> Catalogues:
    return Catalogues(cast("Pool", pool), cast("Listener", None))


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = [100.0]
    monkeypatch.setattr(catalogue.time, "monotonic", lambda: now[0])

    def pass_seconds(seconds: float) -> None:
        now[0] += seconds

    return pass_seconds


def tell(catalogues: Catalogues, worker: Asked, told: dict[str, Any] = TOLD) -> None:
    catalogues.told(cast("Worker", worker), told)


async def first_answer(catalogues: Catalogues, pool: Workers) -> catalogue.Catalogue:
    asking = asyncio.create_task(catalogues.get("here"))
    await asyncio.sleep(0)
    tell(catalogues, pool.worker)
    return await asking


async def test_the_next_answer_is_asked_for_before_the_last_one_is_old(catalogues, pool, pass_time):
    first = await first_answer(catalogues, pool)
    pass_time(0.4)
    assert await catalogues.get("here") is first
    assert pool.worker.questions == 1

    pass_time(0.2)
    assert await catalogues.get("here") is first  # nobody waits
    assert await catalogues.get("here") is first
    assert pool.worker.questions == 2

    tell(catalogues, pool.worker, {"functions": [], "problems": ["a.py: it has none"]})
    pass_time(0.45)
    assert (await catalogues.get("here")).problems


async def test_an_answer_that_is_old_is_not_given(catalogues, pool, pass_time):
    first = await first_answer(catalogues, pool)
    pass_time(1.1)
    asking = asyncio.create_task(catalogues.get("here"))
    await asyncio.sleep(0)
    assert not asking.done()

    tell(catalogues, pool.worker)
    assert await asking is first  # it says the same: what was made of it stays good


async def test_a_busy_worker_is_asked_before_one_is_started(catalogues, pool):
    pool.is_idle = False
    await first_answer(catalogues, pool)

    assert pool.started == []


async def test_where_the_busy_worker_says_nothing_one_is_started(catalogues, pool, monkeypatch):
    monkeypatch.setattr(catalogue, "PATIENCE", 0.0)
    pool.is_idle = False
    asking = asyncio.create_task(catalogues.get("here"))
    async with asyncio.timeout(5):
        await pool.has_started.wait()
    tell(catalogues, pool.started[0])
    await asking

    catalogues.lost(cast("Worker", pool.worker), "")  # its call is over: that is no question any more
    assert len(pool.started) == 1
