"""What has left memory is read from the store, at once for all that are asked for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from python_door import LIMIT, call

from mcp_scheduler import Scheduler
from mcp_scheduler.ports import Result
from mcp_scheduler.service.look import Look
from mcp_scheduler.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio


async def test_a_wait_for_many_old_tasks_reads_their_results_in_one_go(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    handles = await scheduler.submit_many(
        [{"function": call("add"), "arguments": {"a": number}} for number in range(20)]
    )
    await scheduler.gather(handles, LIMIT)
    monkeypatch.setattr(Look, "last_run", lambda *_: None)
    read: list[Sequence[str]] = []
    results = SqliteStore.results

    async def counted(store: SqliteStore, ids: Sequence[str]) -> dict[str, Result]:
        read.append(ids)
        return await results(store, ids)

    monkeypatch.setattr(SqliteStore, "results", counted)
    report = await scheduler.wait([handle.id for handle in handles], timeout=LIMIT)
    assert [view.result for view in report.done] == [number + 1 for number in range(20)]
    assert len(read) == 1
