"""Terms are forgotten when the last task that has them goes, and that may be while others are being read."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

import pytest
from store_parts import added, new

from mcp_scheduler.core.task import Kind, Terms
from mcp_scheduler.ports import TaskQuery
from mcp_scheduler.store.reads import Reads
from mcp_scheduler.store.sqlite import SqliteStore
from mcp_scheduler.store.terms import SELECT_TERMS

pytestmark = pytest.mark.anyio


def terms(target: str) -> Terms:
    return Terms(Kind.FUNCTION, target, "env", "agent")


async def test_terms_that_are_forgotten_while_others_are_read_are_there_all_the_same(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [terms("kept")]
    await store.commit(added(new("a", terms=kept[0]), new("b", terms=terms("gone"))))
    gc.collect()  # of the second nobody knows any more
    original = Reads._rows

    async def rows(self: Reads, statement: Any, **values: Any) -> Sequence[Any]:
        if statement is SELECT_TERMS:
            kept.clear()
            gc.collect()
        return await original(self, statement, **values)

    monkeypatch.setattr(Reads, "_rows", rows)
    found = await store.find(TaskQuery(limit=10))
    assert not kept
    assert {task.terms.target for task in found} == {"kept", "gone"}
