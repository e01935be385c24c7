"""A graph that fails is undone, over a real engine in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
from python_door import LIMIT

from mcp_scheduler import Scheduler, errors, views
from mcp_scheduler.scheduler import TaskFailed

pytestmark = pytest.mark.anyio


def noting(file: Path, line: object) -> dict[str, object]:
    return {"function": "note", "arguments": {"path": str(file), "line": line}}


async def test_what_a_failed_graph_has_done_is_undone_with_what_it_returned(
    scheduler: Scheduler, tmp_path: Path
) -> None:
    file = tmp_path / "notes"
    group = await scheduler.submit_graph({
        "create": {**noting(file, "create"), "on_failure": noting(file, {"$result": "create"})},
        "fill": {**noting(file, "fill"), "after": ["create"], "on_failure": noting(file, "unfill")},
        "check": {"function": "fail", "arguments": {"text": "no"}, "after": ["fill"]},
    })  # fmt: skip
    view = await group.wait(LIMIT)
    assert isinstance(view, views.GroupView)
    assert (view.state, view.size) == ("failed", 3)
    assert file.read_text().splitlines() == ["create", "fill", "unfill", "create"]
    (failure,) = view.failures
    assert (failure.reason, failure.rollback) == ("error", "done")


async def test_a_failed_task_ends_when_it_is_undone(scheduler: Scheduler, tmp_path: Path) -> None:
    file = tmp_path / "notes"
    options = {"on_failure": noting(file, "undone"), "idempotency_key": "once"}
    handle = await scheduler.submit("fail", options=options, text="no")
    with pytest.raises(TaskFailed, match="no") as failed:
        await handle.result(LIMIT)
    assert failed.value.task.rollback == "done"
    assert file.read_text() == "undone\n"
    again = await scheduler.submit("fail", options=options, text="no")
    assert again.id == handle.id
    with pytest.raises(errors.DuplicateKey, match="on_failure"):
        await scheduler.submit("fail", options={**options, "on_failure": noting(file, "other")}, text="no")
    with pytest.raises(errors.DuplicateKey, match="on_failure"):
        await scheduler.submit("fail", options={"idempotency_key": "once"}, text="no")
    changed = await scheduler.update([handle.id], "retry")
    assert "was rolled back" in changed.unchanged[handle.id]


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ({"on_failure": {"function": "note", "arguments": {}}}, "'path' and 'line' is missing"),
        ({"on_failure": {"function": "nothing"}}, "no function 'nothing'"),
        ({"on_failure": {}}, "exactly one of"),
        ({"on_failure": {"function": "add", "arguments": {"a": 1}, "hold": True}}, "`hold` cannot stand in on_failure"),
        ({"on_failure": {"function": "add", "arguments": {"a": 1}}, "every": 5}, "not for a task that recurs"),
    ],
)
async def test_a_compensation_is_checked_as_every_task(
    scheduler: Scheduler, task: dict[str, object], words: str
) -> None:
    with pytest.raises(errors.InvalidRequest, match=words):
        await scheduler.submit("add", options=task, a=1)


async def test_a_function_says_itself_what_undoes_it_and_what_it_writes(scheduler: Scheduler, tmp_path: Path) -> None:
    handle = await scheduler.submit("leave_something", path=str(tmp_path / "file"))
    with pytest.raises(TaskFailed, match="no") as failed:
        await handle.result(LIMIT)
    assert failed.value.task.rollback == "done"
    assert not (tmp_path / "file").exists()
    kept = await scheduler.submit("leave_something", options={"on_failure": None}, path=str(tmp_path / "file"))
    with pytest.raises(TaskFailed):
        await kept.result(LIMIT)
    assert (tmp_path / "file").exists()


async def test_the_detail_of_a_waiting_task_tells_the_decision(scheduler: Scheduler) -> None:
    await scheduler.pause()
    handle = await scheduler.submit("fail", text="x")
    view = await scheduler.get(handle.id, detail=True)
    assert isinstance(view, views.TaskView)
    assert any(line.startswith("rank, score:") for line in view.decision)
    assert view.fence is None
    plain = await scheduler.get(handle.id)
    assert isinstance(plain, views.TaskView)
    assert plain.decision == ()
    await scheduler.resume()
    await handle.wait(LIMIT)
    ended = await scheduler.get(handle.id, detail=True)
    assert isinstance(ended, views.TaskView)
    assert ended.decision == ()
