"""What is counted beside the tasks is there in the next engine, whichever store it has, however the last one ended."""

from __future__ import annotations

from dataclasses import replace

import pytest
from store_parts import Place

from mcp_scheduler.core.breakers import Breakers, Trust
from mcp_scheduler.core.budget import RetryBudget
from mcp_scheduler.core.changes import Launch
from mcp_scheduler.core.events import DevicesSeen, SlotGone
from mcp_scheduler.core.hedging import LAST
from mcp_scheduler.core.node import LOCAL
from mcp_scheduler.core.seen import GpuSeen
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.core.task import Needs
from mcp_scheduler.errors import StoreUnavailable
from mcp_scheduler.forecast.book import Book
from mcp_scheduler.ports import Store
from mcp_scheduler.runtime.accounts import Accounts
from mcp_scheduler.runtime.lessons import Lessons
from tests.core.builders import Stage, needs, terms

pytestmark = pytest.mark.anyio

GPU = GpuSeen("GPU-0", 0, "RTX 3090", "rtx-3090-24gb", 24 << 30, used=0, free=24 << 30)
ON_GPU = Needs(needs(1).amounts, gpus=1)


class Life:
    """An engine's life over the store: a cluster and its accounts."""

    def __init__(self, store: Store, now: float = 1000.0) -> None:
        self.stage = Stage(4)
        self.stage.now = now
        self.store = store
        self.cluster = self.stage.cluster
        self.cluster.breakers = Breakers(2, first=30.0, longest=100.0)
        self.cluster.retry_budget = RetryBudget(burst=3, per_minute=0.0)
        self.accounts = Accounts(self.cluster, store, self)

    def now(self) -> float:
        return self.stage.now

    async def begin(self) -> Life:
        self.accounts.take_up(await self.store.forecasts())
        self.stage.turn()
        self.stage.turn(DevicesSeen(LOCAL, (GPU,)))
        return self


def break_the_gpu(life: Life) -> None:
    stage = life.stage
    for name in ("a", "b"):
        stage.submit(name, terms(f"m.{name}", needs=ON_GPU))
        stage.now += 1.0
        stage.end(name, Reason.CRASHED)
        stage.turn(*(event for event in map(_gone, list(life.cluster.resting))))
    assert life.cluster.breakers.trust((LOCAL, "GPU-0")) is Trust.SHUT


def _gone(slot: str) -> SlotGone:
    return SlotGone(slot)


async def test_a_gpu_in_quarantine_is_not_offered_by_the_next_engine_and_then_tried_with_one_task(place: Place) -> None:
    store, _ = await place.open()
    first = await Life(store).begin()
    break_the_gpu(first)
    await first.accounts.keep()
    store, _ = await place.open()  # without a close before
    life = await Life(store, first.now() + 5.0).begin()
    for name in ("c", "d"):
        life.stage.submit(name, terms(f"m.{name}", needs=replace(ON_GPU, gpu_memory=2 << 30)))
    assert life.stage.running == []
    assert life.cluster.rooms[LOCAL].devices.explain(ON_GPU) == [
        "gpu0: in quarantine: the last 2 attempts ended without a result (1 of m.a, 1 of m.b)"
    ]
    life.stage.wait(24.0)
    assert life.stage.running == []
    life.stage.wait(1.0)
    assert life.stage.running == ["c"]
    await life.accounts.keep()
    store, _ = await place.open()
    again = await Life(store, life.now() + 1.0).begin()
    assert again.cluster.breakers.trust((LOCAL, "GPU-0")) is Trust.PROBATION
    for name in ("e", "f"):
        again.stage.submit(name, terms(f"m.{name}", needs=replace(ON_GPU, gpu_memory=2 << 30)))
    assert again.stage.running == ["e"]
    again.stage.now += 1.0
    again.stage.end("e", Reason.LOST)
    assert again.cluster.breakers.known[LOCAL, "GPU-0"].until == pytest.approx(again.now() + 60.0)


async def test_a_retry_budget_that_is_used_up_stays_so(place: Place) -> None:
    store, _ = await place.open()
    first = await Life(store).begin()
    key = ("ann", "m.f")
    assert [first.cluster.retry_budget.take(key, first.now()) for _ in range(4)] == [True, True, True, False]
    await first.accounts.keep()
    store, _ = await place.open()
    life = await Life(store, first.now() + 5.0).begin()
    assert not life.cluster.retry_budget.take(key, life.now())
    ((_, bucket),) = life.cluster.retry_budget.spent(life.now())
    assert bucket.refused == 2


async def test_what_copies_have_earned_and_whether_they_were_of_use_is_known(place: Place) -> None:
    store, _ = await place.open()
    first = await Life(store).begin()
    hedging = first.cluster.hedging
    hedging.earn(1000.0, on_devices=True)
    hedging.begin("copy", 20.0, on_devices=True)  # it runs on, and is counted when it ends
    for _ in range(LAST):
        hedging.judge("m.f", won=False)
    await first.accounts.keep()
    store, _ = await place.open()
    hedging = (await Life(store).begin()).cluster.hedging
    assert hedging.affords(50.0, on_devices=True)
    assert not hedging.affords(50.1, on_devices=True)
    assert not hedging.affords(0.1, on_devices=False)
    assert "of its last 50 copies 0 came first" in hedging.why_off("m.f")


async def test_what_an_item_takes_is_known_and_what_was_forgotten_is_gone(place: Place) -> None:
    store, _ = await place.open()
    first = await Life(store).begin()
    first.cluster.chunking.learn("m.f x 10", 1.0)
    break_the_gpu(first)
    await first.accounts.keep()
    first.cluster.breakers.forget((LOCAL, "GPU-0"))
    await first.accounts.keep()
    store, _ = await place.open()
    life = await Life(store).begin()
    assert life.cluster.chunking.seconds("m.f") == pytest.approx(0.1)
    assert not life.cluster.breakers.known


async def test_a_clock_that_was_wrong_withholds_nothing_for_longer_than_the_settings_say(place: Place) -> None:
    store, _ = await place.open()
    first = await Life(store, 1e9).begin()
    break_the_gpu(first)
    await first.accounts.keep()
    store, _ = await place.open()
    life = await Life(store, 1000.0).begin()
    life.stage.submit("c", terms(needs=ON_GPU))
    assert life.stage.state("c") is State.QUEUED
    life.stage.wait(100.0)
    assert [effect.devices for effect in life.stage.effects(Launch)] == [("GPU-0",)]


async def test_rows_of_the_two_are_told_apart_and_those_that_cannot_be_read_are_passed_over(store: Store) -> None:
    life, book = Life(store), Book()
    book.learn("module.f", "", 10, 3.0)
    life.cluster.chunking.learn("m.f x 10", 1.0)
    await Lessons(store, {"seconds": book}).keep()
    await life.accounts.keep()
    odd = {'["account", "unknown"]': "[]", '["account", "breakers", "local", "x"]': "[1]", '["account"': "[]"}
    await store.keep_forecasts(odd)
    heir, next_life = Book(), Life(store)
    Lessons(store, {"seconds": heir}).load(await store.forecasts())
    next_life.accounts.take_up(await store.forecasts())
    assert len(heir) == len(book)
    assert next_life.cluster.chunking.seconds("m.f") == pytest.approx(0.1)
    assert not next_life.cluster.breakers.known


async def test_what_a_full_disk_has_refused_is_written_the_next_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise StoreUnavailable("The disk is full.")

    life = Life(store)
    life.cluster.chunking.learn("m.f x 10", 1.0)
    with monkeypatch.context() as patch:
        patch.setattr(store, "keep_forecasts", refuse)
        await life.accounts.keep()
    assert await store.forecasts() == {}
    await life.accounts.keep()
    await life.accounts.keep()
    assert len(await store.forecasts()) == 1
