"""What was learnt outlives the engine."""

import pytest

from mcp_scheduler.errors import StoreUnavailable
from mcp_scheduler.forecast.book import Book
from mcp_scheduler.runtime.lessons import Lessons
from mcp_scheduler.store.memory import MemoryStore

pytestmark = pytest.mark.anyio


async def test_the_next_engine_knows_what_this_one_has_learnt():
    store, book, heir = MemoryStore(), Book(), Book()
    await store.open()
    for number in range(200):
        book.learn(f"module.f{number % 60}", "", 10, 3.0)
    await Lessons(store, {"seconds": book}).keep()
    Lessons(store, {"seconds": heir}).load(await store.forecasts())
    assert heir.predict("module.f7", "", 10) == pytest.approx(book.predict("module.f7", "", 10), rel=1e-3)


async def test_a_store_that_cannot_be_written_is_tried_again_the_next_time():
    class Full(MemoryStore):
        full = True

        async def keep_forecasts(self, rows):
            if self.full:
                raise StoreUnavailable("The disk is full.")
            await super().keep_forecasts(rows)

    store, book = Full(), Book()
    await store.open()
    book.learn("module.f", "", 10, 3.0)
    lessons = Lessons(store, {"seconds": book})
    await lessons.keep()
    store.full = False
    await lessons.keep()
    assert len(await store.forecasts()) == 4


async def test_a_row_that_cannot_be_read_is_passed_over():
    store, book = MemoryStore(), Book()
    await store.open()
    book.learn("module.f", "", 10, 3.0)
    await Lessons(store, {"seconds": book}).keep()
    await store.keep_forecasts({"not json": "1", '["unknown"]': "{}", '["seconds","x"]': "{}"})
    heir = Book()
    Lessons(store, {"seconds": heir}).load(await store.forecasts())
    assert len(heir) == 4
