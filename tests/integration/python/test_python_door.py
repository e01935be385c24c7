"""The Python door over a real engine in this process: every use case once, as a program would."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from python_door import FUNCTIONS, LIMIT, call

from mcp_scheduler import Scheduler, errors, views
from mcp_scheduler.scheduler import TaskFailed

pytestmark = pytest.mark.anyio


async def test_a_result_comes_back(scheduler: Scheduler) -> None:
    handle = await scheduler.submit(call("add"), a=2, b=3)
    assert await handle.result(LIMIT) == 5


async def test_a_function_may_be_named_without_its_module(scheduler: Scheduler) -> None:
    handle = await scheduler.submit("add", a=2)
    assert await handle.result(LIMIT) == 3


async def test_many_are_submitted_and_gathered_in_their_order(scheduler: Scheduler) -> None:
    handles = await scheduler.submit_many(
        [{"function": call("add"), "arguments": {"a": number}} for number in range(300)]
    )
    assert await scheduler.gather(handles, LIMIT) == [number + 1 for number in range(300)]


async def test_a_failure_is_raised_with_its_reason(scheduler: Scheduler) -> None:
    handle = await scheduler.submit(call("fail"), text="bang")
    with pytest.raises(TaskFailed, match="bang") as failed:
        await handle.result(LIMIT)
    assert failed.value.task.reason == "error"
    with pytest.raises(TaskFailed, match="bang"):
        await scheduler.gather([handle], LIMIT)


async def test_a_retry_leads_to_success(scheduler: Scheduler) -> None:
    handle = await scheduler.submit(call("third_time_lucky"))
    assert await handle.result(LIMIT) == 3
    view = await scheduler.get(handle.id, detail=True)
    assert isinstance(view, views.TaskView)
    assert [attempt.reason for attempt in view.attempts] == ["error", "error", None]


async def test_results_flow_through_a_graph(scheduler: Scheduler) -> None:
    handle = await scheduler.submit_graph(
        {
            "one": {"function": call("add"), "arguments": {"a": 1}},
            "two": {"function": call("add"), "arguments": {"a": {"$result": "one"}, "b": 10}},
            "sum": {"function": call("total"), "arguments": {"numbers": [{"$result": "one"}, {"$result": "two"}]}},
        }
    )
    assert sorted(await handle.result(LIMIT)) == [2, 12, 14]


async def test_a_group_in_which_tasks_were_skipped_says_how_they_run_after_all(scheduler: Scheduler) -> None:
    handle = await scheduler.submit_graph(
        {"first": {"function": call("fail"), "arguments": {"text": "no"}}, "then": {"function": call("add"),
         "arguments": {"a": 1}, "after": ["first"]}}
    )  # fmt: skip
    view = await handle.wait(LIMIT)
    assert isinstance(view, views.GroupView)
    assert f"update_task retry with {handle.id}" in view.hint


async def test_a_series_is_told_without_an_end(scheduler: Scheduler) -> None:
    series = await scheduler.submit(call("add"), a=1, options={"every": 3600})
    await scheduler.wait([f"{series.id}-1"], timeout=LIMIT)
    waiting, group = await scheduler.get(f"{series.id}-2"), await scheduler.get(series.id)
    assert isinstance(group, views.GroupView)
    assert (waiting.eta is None, group.eta, group.state) == (False, None, "running")
    await scheduler.cancel([series.id])


async def test_an_id_in_capitals_is_nearly_right(scheduler: Scheduler) -> None:
    handle = await scheduler.submit(call("add"), a=1)
    with pytest.raises(errors.UnknownTask, match=f"Did you mean {handle.id}"):
        await scheduler.get(handle.id.upper())


async def test_a_value_that_a_change_does_not_take_is_refused(scheduler: Scheduler) -> None:
    handle = await scheduler.submit(call("add"), options={"hold": True}, a=1)
    with pytest.raises(errors.InvalidRequest, match=r"resume takes no value.*set_priority"):
        await scheduler.update([handle.id], "resume", 5.0)
    await scheduler.cancel([handle.id])


async def test_a_repeated_key_is_the_same_task_and_other_content_a_conflict(scheduler: Scheduler) -> None:
    options = {"idempotency_key": "once"}
    first = await scheduler.submit(call("add"), options=options, a=1)
    again = await scheduler.submit(call("add"), options=options, a=1)
    assert first.id == again.id
    with pytest.raises(errors.DuplicateKey, match="argument a"):
        await scheduler.submit(call("add"), options=options, a=2)


async def test_the_same_key_twice_at_the_same_moment_makes_one_task(scheduler: Scheduler) -> None:
    options = {"idempotency_key": "race"}
    handles = await asyncio.gather(*(scheduler.submit(call("add"), options=options, a=1) for _ in range(10)))
    assert len({handle.id for handle in handles}) == 1


async def test_a_running_call_can_be_cancelled(scheduler: Scheduler, tmp_path: Path) -> None:
    handle = await scheduler.submit(call("wait_for_file"), path=str(tmp_path / "never"))
    changed = await handle.cancel()
    assert changed.count == 1
    view = await handle.wait(LIMIT)
    assert isinstance(view, views.TaskView)
    assert view.state == "cancelled"


async def test_a_held_task_waits_for_a_person(scheduler: Scheduler) -> None:
    handle = await scheduler.submit(call("add"), options={"hold": True}, a=1)
    view = await scheduler.get(handle.id)
    assert isinstance(view, views.TaskView)
    assert view.state == "held"
    await scheduler.update([handle.id], "resume")
    assert await handle.result(LIMIT) == 2


async def test_an_ended_task_can_be_run_again(scheduler: Scheduler, tmp_path: Path) -> None:
    path = tmp_path / "later"
    handle = await scheduler.submit(call("wait_for_file"), options={"timeout": 0.2}, path=str(path))
    view = await handle.wait(LIMIT)
    assert isinstance(view, views.TaskView)
    assert (view.state, view.reason) == ("failed", "timeout")
    path.touch()
    await scheduler.update([handle.id], "retry")
    assert await handle.result(LIMIT) == "seen"


async def test_what_was_printed_can_be_read_and_searched(scheduler: Scheduler) -> None:
    handle = await scheduler.submit(call("speak"), lines=30)
    await handle.wait(LIMIT)
    assert (await scheduler.read(handle.id, "stdout", grep="line 2[0-4]")).text.split("\n") == [
        f"line {number}" for number in range(20, 25)
    ]
    assert (await scheduler.read(handle.id, "stdout", tail=True, limit=8)).text == "line 29\n"
    with pytest.raises(errors.InvalidRequest, match="regular expression"):
        await scheduler.read(handle.id, "stdout", grep="(")


async def test_a_search_that_takes_for_ever_is_ended_and_hurts_nobody(scheduler: Scheduler) -> None:
    handle = await scheduler.submit(call("big"), size=5000)
    await handle.wait(LIMIT)
    slow = asyncio.create_task(scheduler.read(handle.id, "result", grep="(x+x+)+y"))
    assert await (await scheduler.submit(call("add"), a=1)).result(LIMIT) == 2
    assert not slow.done()
    with pytest.raises(errors.InvalidRequest, match="simpler"):
        await slow


async def test_a_large_result_is_kept_in_a_file_and_read_in_pieces(scheduler: Scheduler) -> None:
    handle = await scheduler.submit(call("big"), size=200_000)
    assert await handle.result(LIMIT) == "x" * 200_000
    page = await scheduler.read(handle.id, "result", limit=10, offset=100)
    assert (page.text, page.total, page.next_offset) == ("x" * 10, 200_002, 110)


async def test_next_tells_each_end_once_and_in_pages(scheduler: Scheduler) -> None:
    handles = await scheduler.submit_many([{"function": call("add"), "arguments": {"a": 1}}] * 120)
    ids = [handle.id for handle in handles]
    await scheduler.wait(ids, timeout=LIMIT)
    told: list[str] = []
    cursor = None
    while len(told) < len(ids):
        report = await scheduler.wait(ids, mode="next", cursor=cursor, timeout=LIMIT)
        told += [task.id for task in report.done]
        cursor = report.cursor
    assert sorted(told) == sorted(ids)


async def test_next_tells_how_a_group_stands_beside_the_ends_of_its_tasks(scheduler: Scheduler) -> None:
    graph = await scheduler.submit_graph(
        {"bad": {"command": ["false"]}, "after": {"command": ["true"], "after": ["bad"]}}
    )
    await graph.wait(LIMIT)
    report = await scheduler.wait([graph.id], mode="next", timeout=LIMIT)
    assert {task.state for task in report.done} == {"failed", "skipped"}
    assert [(group.id, group.state) for group in report.groups] == [(graph.id, "failed")]
    assert (report.remaining, report.complete) == (0, True)


async def test_the_first_copy_that_succeeds_is_the_tasks_and_the_others_are_gone(scheduler: Scheduler) -> None:
    handle = await scheduler.submit(call("safe"), first=60.0, options={"replicas": 2, "needs": {"cpus": 0.25}})
    assert await handle.result(LIMIT) == 2
    deadline = asyncio.get_running_loop().time() + LIMIT
    task = await scheduler.get(handle.id, detail=True)
    while not all(one.ended_at for one in task.attempts):
        assert asyncio.get_running_loop().time() < deadline, task.attempts
        await asyncio.sleep(0.01)  # nobody is told of the end of an attempt that has lost
        task = await scheduler.get(handle.id, detail=True)
    slow, fast = task.attempts
    assert (slow.reason, slow.error, fast.reason) == ("cancelled", "Another copy of it came first.", None)
    assert (task.state, task.seconds) == ("succeeded", fast.seconds)


async def test_a_call_that_is_late_gets_a_copy(scheduler: Scheduler) -> None:
    """Twenty runs tell what is late, and pay for the copy."""
    await scheduler.gather([await scheduler.submit(call("safe"), other=0.05) for _ in range(30)], LIMIT)
    handle = await scheduler.submit(call("safe"), first=60.0, options={"hedge": True, "needs": {"cpus": 0.25}})
    assert await handle.result(LIMIT) == 2


@pytest.mark.parametrize(
    ("task", "kind", "words"),
    [
        ({"function": "ad", "arguments": {"a": 1}}, errors.UnknownFunction, "Did you mean .*add"),
        ({"function": "add", "arguments": {"a": "one"}}, errors.BadArguments, "'a' must be integer"),
        ({"function": "add", "arguments": {}}, errors.BadArguments, "'a' is missing"),
        ({"function": "add", "arguments": {"a": 1, "bb": 2}}, errors.BadArguments, "did you mean 'b'"),
        ({"function": "add", "arguments": {"a": 1}, "needs": {"cpus": 9999}}, errors.Unsatisfiable, "9999 asked"),
        ({"function": "add", "arguments": {"a": 1}, "after": ["nobody"]}, errors.UnknownDependency, "nobody"),
        ({"function": "add", "arguments": {"a": 1}, "inputs": ["no-such-file"]}, errors.InvalidRequest, "no input"),
        ({"chat": {"prompt": "hello"}}, errors.NotYet, "chat"),
        ({"function": "add", "arguments": {"a": 1}, "hedge": True}, errors.InvalidRequest, "does not say that it may"),
        ({"function": "safe", "replicas": 2, "hedge": True}, errors.InvalidRequest, "Give one of them"),
        ({"function": "safe", "replicas": 2, "writes": ["a"]}, errors.InvalidRequest, "would write at once"),
        ({"command": ["true"], "replicas": 2}, errors.InvalidRequest, "is for functions"),
        ({"function": "add", "arguments": {"a": 1}, "cwd": "/"}, errors.InvalidRequest, "belongs to a command"),
        ({"function": "add", "arguments": {"a": 1}, "tags": ["\ud800"]}, errors.InvalidRequest, "surrogate|string"),
        ({"function": "add", "arguments": {"a": 1}, "start_after": "tomorrow"}, errors.InvalidRequest, "duration"),
        ({"arguments": {"a": 1}}, errors.InvalidRequest, "exactly one of"),
    ],
)
async def test_what_is_wrong_is_refused_with_words_that_help(
    scheduler: Scheduler, task: dict[str, object], kind: type[errors.SchedulerError], words: str
) -> None:
    before = (await scheduler.load()).counts
    with pytest.raises(kind, match=words):
        await scheduler.submit_many([task])
    assert (await scheduler.load()).counts == before


async def test_a_cycle_is_named(scheduler: Scheduler) -> None:
    with pytest.raises(errors.CycleFound, match=r"one → two → one|two → one → two"):
        await scheduler.submit_graph(
            {
                "one": {"function": call("add"), "arguments": {"a": {"$result": "two"}}},
                "two": {"function": call("add"), "arguments": {"a": 1}, "after": ["one"]},
            }
        )


async def test_a_second_program_becomes_a_client_of_the_engine_that_runs(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with TemporaryDirectory(prefix="door-") as home:
        async with Scheduler.open(home, functions=[FUNCTIONS]) as first:
            async with Scheduler.open(home, functions=[FUNCTIONS], principal="second") as second:
                handles = await second.submit_many([{"function": call("add"), "arguments": {"a": 1}}] * 5)
                assert await second.gather(handles, LIMIT) == [2] * 5
                one = await second.submit(call("fail"), text="far away")
                with pytest.raises(TaskFailed, match="far away"):
                    await one.result(LIMIT)
                page = await second.list(mine=True)
                assert len(page.tasks) == 6
                assert [one.runs for one in (await second.forecasts("add")).forecasts][:1] == [5]
                assert (await second.policy()).name == (await first.policy()).name
                assert (await second.explain(one.id)).why == (await first.explain(one.id)).why
            assert (await first.load()).counts == {"succeeded": 5, "failed": 1}


async def test_what_waits_is_there_when_the_home_is_opened_again() -> None:
    with TemporaryDirectory(prefix="door-") as home:
        async with Scheduler.open(home, functions=[FUNCTIONS]) as first:
            held = await first.submit(call("add"), options={"hold": True}, a=41)
        async with Scheduler.open(home) as second:  # another environment: the task keeps its own
            await second.update([held.id], "resume")
            await second.wait([held.id], timeout=LIMIT)
            assert await second.full_result(held.id) == 42


async def test_a_function_object_finds_its_way_to_an_engine_of_another_process() -> None:
    from python_door_functions import add

    with TemporaryDirectory(prefix="door-") as home:
        async with Scheduler.open(home), Scheduler.open(home, principal="second") as second:
            handle = await second.submit(add, a=1)
            assert await handle.result(LIMIT) == 2


async def test_settings_that_make_no_sense_are_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[pool]\ncpus = 'many'\n")
    with pytest.raises(errors.InvalidRequest, match=r"pool\.cpus"):
        async with Scheduler.open(tmp_path):
            pass


async def test_a_paused_queue_takes_work_and_starts_none(scheduler: Scheduler) -> None:
    assert (await scheduler.pause()).paused
    handle = await scheduler.submit(call("add"), a=1)
    view = await handle.wait(0.1)
    assert (view.state, "paused by its owner" in view.why) == ("queued", True)  # type: ignore[union-attr]
    assert any("paused" in alert for alert in (await scheduler.load()).alerts)
    assert not (await scheduler.resume()).paused
    assert await handle.result(LIMIT) == 2


async def test_what_is_decided_and_learnt_can_be_asked_for(scheduler: Scheduler) -> None:
    before = await scheduler.policy()
    try:
        assert (await scheduler.policy("fifo")).name == "fifo"
        assert "shortest" in (await scheduler.policy()).choices
    finally:
        await scheduler.policy("")
    assert (await scheduler.policy()).name == before.name

    held = await scheduler.submit("add", a=1, b=1, options={"hold": True})
    assert "held" in (await scheduler.explain(held.id)).why
    await held.cancel()

    await (await scheduler.submit("add", a=1, b=1)).result()
    page = await scheduler.forecasts("add")
    assert {one.quantity for one in page.forecasts} >= {"seconds"}
    assert all(one.runs > 0 for one in page.forecasts)


async def test_whoever_gets_a_result_may_change_it_and_nobody_else_sees_that(scheduler: Scheduler) -> None:
    handle = await scheduler.submit("listed", count=3)
    mine = await handle.result()
    mine.append("mine")
    page = await scheduler.list(name="listed", limit=1)
    assert [await handle.result(), page.tasks[0].result] == [[0, 1, 2], [0, 1, 2]]
