"""Maps, their chunks and stages, and gangs, through the Python door."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from python_door import FUNCTIONS, LIMIT, call

from mcp_scheduler import Scheduler, errors, views
from mcp_scheduler.requests import MapTask
from mcp_scheduler.scheduler import TaskFailed

pytestmark = pytest.mark.anyio


async def test_a_map_is_reduced_and_its_results_are_paged(scheduler: Scheduler) -> None:
    reduce = {"function": call("total"), "arguments": {"numbers": {"$result": "items"}}}
    handle = await scheduler.map(call("add"), list(range(20)), argument="a", reduce=reduce)
    results = await handle.result(LIMIT)
    assert results[-1] == sum(range(1, 21))
    page = await scheduler.read(handle.id, "result", path="[0:3]")
    assert page.text == "[1, 2, 3]"


async def test_a_map_in_chunks_repeats_the_items_that_failed_and_its_reduce_sees_all(
    scheduler: Scheduler, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    mapped = await scheduler.map(
        call("picky"),
        [{"n": number, "log": str(log)} for number in range(25)],
        chunk=10,
        reduce={"function": call("total"), "arguments": {"numbers": {"$result": "items"}}},
    )
    assert await mapped.result(LIMIT) == [*range(25), sum(range(25))]
    assert sorted(map(int, log.read_text().split())) == sorted([*range(25), *range(0, 25, 7)])
    group = await scheduler.get(mapped.id)
    assert isinstance(group, views.GroupView)
    assert (group.size, group.items, group.items_done, group.chunk) == (4, 25, 25, 10)
    later = await scheduler.submit(call("total"), numbers={"$result": mapped.id, "path": "[:25]"})
    assert await later.result(LIMIT) == sum(range(25))


async def test_a_chunk_that_fails_has_the_results_of_its_other_items(scheduler: Scheduler) -> None:
    mapped = await scheduler.map(call("add"), [{"a": 1}, {"a": 2}, {"a": 3, "b": 10**400}], chunk="auto")
    assert await mapped.result(LIMIT) == [2, 3, 3 + 10**400]
    mapped = await scheduler.map(call("fail"), ["x", "y"], argument="text", chunk=2)
    with pytest.raises(TaskFailed, match="2 of 2 items failed; item 0: ValueError: x"):
        await mapped.result(LIMIT)
    assert await scheduler.full_result(mapped.id) == [{"$error": "ValueError: x"}, {"$error": "ValueError: y"}]
    page = await scheduler.read(mapped.id, "result", path='[1]."$error"')
    assert page.text == "ValueError: y"


async def test_items_go_through_stages_and_one_that_fails_stops_no_other(scheduler: Scheduler) -> None:
    mapped = await scheduler.map(
        call("check"),
        [1, 2, -3, 4],
        argument="n",
        stages=[
            {"function": call("add"), "arguments": {"a": {"$result": "previous"}, "b": {"$item": True}}},
            {"command": [sys.executable, "-c", "import sys; print(sys.argv[1])", {"$result": "previous"}]},
        ],
    )
    with pytest.raises(TaskFailed, match="-3 is negative"):
        await mapped.result(LIMIT)
    results = await scheduler.full_result(mapped.id)
    assert [one and one["stdout_tail"] for one in results] == ["2\n", "4\n", None, "8\n"]
    group = await scheduler.get(mapped.id)
    assert isinstance(group, views.GroupView)
    assert (group.size, group.items, group.items_done, group.stages_done) == (12, 4, 3, (3, 3, 3))
    assert group.counts == {"succeeded": 9, "failed": 1, "skipped": 2}
    later = await scheduler.submit_many([{"function": call("add"), "arguments": {"a": 1}, "after": [mapped.id]}])
    view = await later[0].wait(LIMIT)
    assert view.state == "skipped"


async def test_chunks_go_through_stages_and_the_items_of_one_that_failed_go_on(scheduler: Scheduler) -> None:
    mapped = await scheduler.map(
        call("check"),
        [1, 2, -3, 4, 5],
        argument="n",
        chunk=2,
        stages=[{"function": call("add"), "arguments": {"a": {"$result": "previous"}, "b": 10}}] * 2,
    )
    with pytest.raises(TaskFailed, match="1 of 2 items failed; item 2: ValueError: -3 is negative"):
        await mapped.result(LIMIT)
    assert await scheduler.full_result(mapped.id) == [21, 22, {"$error": "ValueError: -3 is negative"}, 24, 25]
    whole = await scheduler.map(
        call("check"),
        list(range(9)),
        argument="n",
        chunk=4,
        stages=[{"function": call("add"), "arguments": {"a": {"$result": "previous"}, "b": 10}}],
        reduce={"function": call("total"), "arguments": {"numbers": {"$result": "items"}}},
    )
    assert await whole.result(LIMIT) == [*range(10, 19), sum(range(10, 19))]
    later = await scheduler.submit(call("total"), numbers={"$result": whole.id, "path": "[:9]"})
    assert await later.result(LIMIT) == sum(range(10, 19))


async def test_a_reduce_with_a_fan_in_begins_before_all_items_have_ended(scheduler: Scheduler, tmp_path: Path) -> None:
    log = tmp_path / "log"
    here = [str(tmp_path)] * 4
    mapped = await scheduler.map(
        call("wait_for_file"),
        [*here, str(log)],  # the last item ends only when the first fold has been done
        argument="path",
        options={"needs": {"cpus": 0.1}},
        reduce={
            "function": call("chain"),
            "arguments": {"parts": {"$result": "items"}, "log": str(log)},
            "needs": {"cpus": 0.1},
            "fan_in": 2,
        },
    )
    assert await mapped.result(LIMIT) == [*["seen"] * 5, "(((seen+seen)+(seen+seen))+(seen))"]
    group = await scheduler.get(mapped.id)
    assert isinstance(group, views.GroupView)
    assert (group.size, group.items, group.items_done) == (10, 5, 5)
    failed = await scheduler.map(
        call("check"),
        [1, -2, 3],
        argument="n",
        reduce={"function": call("total"), "arguments": {"numbers": {"$result": "items"}}, "fan_in": 2},
    )
    with pytest.raises(TaskFailed, match="-2 is negative"):
        await failed.result(LIMIT)
    assert (await scheduler.full_result(failed.id))[-1] is None


async def test_a_chunk_that_takes_longer_than_it_should_is_done_in_parts(scheduler: Scheduler, tmp_path: Path) -> None:
    log = tmp_path / "log"
    cpus = (await scheduler.load()).nodes[0].total["cpus"]
    numbers = list(range(int(32 * cpus)))  # so that there are some in each chunk
    fixed = {"n": {"$item": True}, "log": str(log)}
    mapped = await scheduler.map(call("slow"), numbers, chunk="50ms", options={"arguments": fixed})
    assert await mapped.result(LIMIT) == numbers
    assert sorted(map(int, log.read_text().split())) == numbers, "nothing is done twice"
    group = await scheduler.get(mapped.id, detail=True)
    assert isinstance(group, views.GroupView)
    assert group.chunk == 8
    assert max(task.attempt for task in group.tasks) > 1
    with pytest.raises(errors.InvalidRequest, match="A chunk takes from 50ms to 1d"):
        await scheduler.map(call("slow"), [1], argument="n", chunk="1ms")


async def test_a_command_runs_as_the_ranks_of_a_gang(scheduler: Scheduler) -> None:
    program = "import os; os.write(1, os.environ['RANK'].encode())"
    (handle,) = await scheduler.submit_many([{"command": [sys.executable, "-c", program], "ranks": 3}])
    assert sorted((await handle.result(LIMIT))["stdout_tail"]) == ["0", "1", "2"]
    with pytest.raises(errors.InvalidRequest, match="`ranks` belongs to a command"):
        await scheduler.submit_many([{"function": call("add"), "arguments": {"a": 1}, "ranks": 2}])


async def test_what_an_item_takes_is_told_by_the_next_engine_too(tmp_path: Path) -> None:
    async with Scheduler.open(tmp_path / "home", functions=[FUNCTIONS]) as first:
        mapped = await first.map(call("add"), list(range(20)), argument="a", chunk=10)
        await mapped.result(LIMIT)
        told = (await first.forecasts(call("add"))).in_chunks
        assert 0.0 < told[call("add")] < 1.0
    async with Scheduler.open(tmp_path / "home", functions=[FUNCTIONS]) as second:
        assert (await second.forecasts("add")).in_chunks == told


async def test_rows_of_a_csv_that_do_not_fit_are_told_to_be_texts(scheduler: Scheduler, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("a\n1\n")
    asked = MapTask.model_validate({"task": {"function": call("add")}, "over": {"rows": str(rows)}})
    with pytest.raises(errors.BadArguments, match=r"'a' must be integer.* Every value of a CSV is text"):
        await scheduler._service.submit_map(scheduler._caller, asked)
