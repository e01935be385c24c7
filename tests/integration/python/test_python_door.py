"""The Python door over a real engine in this process: every use case once, as a program would."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from mcp_scheduler import Scheduler, errors, views
from mcp_scheduler.lease import LeaseLost
from mcp_scheduler.scheduler import TaskFailed

HERE = Path(__file__).parent
FUNCTIONS = HERE / "python_door_functions.py"
LIMIT = 30.0

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def scheduler() -> AsyncIterator[Scheduler]:
    with TemporaryDirectory(prefix="door-") as home:
        async with Scheduler.open(home, functions=[FUNCTIONS], principal="tester") as opened:
            yield opened


def call(name: str) -> str:
    return f"python_door_functions.{name}"


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


async def test_a_map_is_reduced_and_its_results_are_paged(scheduler: Scheduler) -> None:
    reduce = {"function": call("total"), "arguments": {"numbers": {"$result": "items"}}}
    handle = await scheduler.map(call("add"), list(range(20)), argument="a", reduce=reduce)
    results = await handle.result(LIMIT)
    assert results[-1] == sum(range(1, 21))
    page = await scheduler.read(handle.id, "result", path="[0:3]")
    assert page.text == "[1, 2, 3]"


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


async def test_a_lease_is_held_by_one_until_its_block_ends(scheduler: Scheduler) -> None:
    cpus = (await scheduler.load()).nodes[0].total["cpus"]
    fences: list[int] = []

    async def hold() -> None:
        async with scheduler.lease(cpus=cpus, ttl=30.0) as held:
            assert (await scheduler.load()).nodes[0].reserved["cpus"] == cpus
            fences.append(held.fence)

    async with asyncio.timeout(LIMIT):
        await asyncio.gather(hold(), hold(), hold())
    assert fences == sorted(set(fences))
    assert (await scheduler.load()).nodes[0].reserved["cpus"] == 0


async def test_a_lease_is_renewed_as_long_as_its_block_goes_on(scheduler: Scheduler) -> None:
    async with asyncio.timeout(LIMIT), scheduler.lease(cpus=1, ttl=0.6) as held:
        first = await scheduler.get(held.id)
        while (now := await scheduler.get(held.id)).due < first.due + 0.8:  # type: ignore[union-attr,operator]
            assert now.state == "running"
            await asyncio.sleep(0.05)  # it takes longer than the first ttl
    assert (await scheduler.get(held.id)).state == "succeeded"


async def test_a_lease_that_somebody_takes_away_is_told_as_lost(scheduler: Scheduler) -> None:
    with pytest.raises(LeaseLost, match="was lost: has already ended: cancelled"):  # noqa: PT012 - at the block's end
        async with scheduler.lease(cpus=1, ttl=0.3) as held:
            await scheduler.cancel([held.id])
            await asyncio.wait_for(held.lost.wait(), LIMIT)


async def test_a_lease_that_is_not_granted_is_not_wanted_any_more_when_its_caller_leaves(scheduler: Scheduler) -> None:
    cpus = (await scheduler.load()).nodes[0].total["cpus"]
    async with scheduler.lease(cpus=cpus):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1), scheduler.lease(cpus=1, options={"name": "impatient"}):
                raise AssertionError("granted, though nothing is free")
    page = await scheduler.list(name="impatient")
    assert [task.state for task in page.tasks] == ["cancelled"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"needs": {}}, "would hold nothing"),
        ({"needs": {"cpus": 1}, "retry": 3}, "`retry` belongs to work that runs"),
        ({"needs": {"cpus": 1}, "env": {"A": "b"}}, "`env` belongs to a command"),
        ({"needs": {"cpus": 100_000}}, "No node is large enough"),
    ],
)
async def test_a_lease_that_makes_no_sense_is_refused(
    scheduler: Scheduler, fields: dict[str, object], said: str
) -> None:
    with pytest.raises(errors.InvalidRequest, match=said):
        await scheduler.submit_many([{"lease": True, **fields}])


async def test_a_paused_queue_takes_work_and_starts_none(scheduler: Scheduler) -> None:
    assert (await scheduler.pause()).paused
    handle = await scheduler.submit(call("add"), a=1)
    view = await handle.wait(0.1)
    assert (view.state, "paused by its owner" in view.why) == ("queued", True)  # type: ignore[union-attr]
    assert any("paused" in alert for alert in (await scheduler.load()).alerts)
    assert not (await scheduler.resume()).paused
    assert await handle.result(LIMIT) == 2


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


async def test_a_plan_tells_what_would_happen_and_submits_nothing(scheduler: Scheduler) -> None:
    for _ in range(3):
        await (await scheduler.submit(call("add"), a=1)).result(LIMIT)
    before = (await scheduler.list()).counts
    tasks = {
        "one": {"function": call("add"), "arguments": {"a": 1}},
        "two": {"function": call("total"), "arguments": {"numbers": [{"$result": "one"}]}},
    }
    plan = await scheduler.plan(tasks, policies=["fifo", "balanced"])
    assert [(one.policy, one.tasks, one.cut) for one in plan.outcomes] == [("fifo", 2, False), ("balanced", 2, False)]
    one, two = plan.tasks
    assert (one.id, one.assumed, two.id, two.after, two.node) == ("one", False, "two", ("one",), "local")
    assert one.start is not None
    assert two.start is not None
    assert one.end is not None
    assert 0 <= one.start < one.end <= two.start
    assert (await scheduler.list()).counts == before
    with pytest.raises(errors.BadArguments, match="'b' must be integer"):
        await scheduler.plan({"one": {"function": call("add"), "arguments": {"a": 1, "b": "x"}}})
    with pytest.raises(errors.CycleFound):
        await scheduler.plan({"a": {"command": "true", "after": ["b"]}, "b": {"command": "true", "after": ["a"]}})
    with pytest.raises(errors.InvalidRequest, match="There is no policy 'best'"):
        await scheduler.plan(policies=["best"])


async def test_an_order_that_was_found_can_be_submitted(scheduler: Scheduler, tmp_path: Path) -> None:
    """What needs all cpus waits for whatever took one of them before: it goes first in an order that ends sooner."""
    cpus = (await scheduler.load()).nodes[0].total["cpus"]
    for name, seconds in (("quick", 0.01), ("slow", 0.4)):
        (tmp_path / name).write_text(f"#!/bin/sh\nsleep {seconds}\n")  # programs of their own: each has its forecast
        (tmp_path / name).chmod(0o755)
    quick, slow = ({"command": [str(tmp_path / name)]} for name in ("quick", "slow"))
    await scheduler.gather(await scheduler.submit_many([quick, slow] * 2), LIMIT)  # now it is known how long they take
    tasks: dict[str, Any] = {
        "short": dict(quick),
        "wide": {**quick, "after": ["short"], "needs": {"cpus": cpus}},
        "long": dict(slow),
        "last": {**slow, "after": ["wide"]},
    }
    view = await scheduler.plan(tasks, objectives=["makespan"])
    assert [one.policy for one in view.outcomes] == ["search", "balanced"]
    assert view.outcomes[0].makespan < view.outcomes[1].makespan - 0.2
    with pytest.raises(errors.InvalidRequest, match="not the tasks of plan-"):
        await scheduler.submit_graph({"short": tasks["short"]}, plan=view.plan)
    with pytest.raises(errors.InvalidRequest, match="no plan 'plan-x' any more"):
        await scheduler.submit_graph(tasks, plan="plan-x")
    tasks["short"]["hold"] = True
    handle = await scheduler.submit_graph(tasks, plan=view.plan)
    group = await scheduler.get(handle.id, detail=True)
    assert isinstance(group, views.GroupView)
    whys = {task.id.split("-")[0]: task.why for task in group.tasks}
    assert "comes after wide-" in whys["long"]  # else it would run now
    await scheduler.cancel([handle.id])


async def test_a_front_has_plans_between_which_to_choose(scheduler: Scheduler) -> None:
    tasks: dict[str, Any] = {name: {"command": ["sleep", "0.1"]} for name in ("a", "b")}
    tasks = {"last": {"command": ["sleep", "0.1"], "after": ["a", "b"]}, **tasks}
    view = await scheduler.plan(tasks, objectives=["makespan", "energy"], seconds=0.8)
    assert view.by in {"sweep", "pymoo"}
    assert [one.policy for one in view.outcomes] == ["balanced"]
    assert view.front[0].makespan <= view.outcomes[0].makespan + 1e-6
    assert all(one.plan and one.energy > 0 and 0 < one.utilisation <= 1 for one in view.front)
    for point in view.front:
        handle = await scheduler.submit_graph(tasks, plan=point.plan)
        await scheduler.cancel([handle.id])
    alone = await scheduler.plan({"a": tasks["a"]}, objectives=["energy"], seconds=0.8)
    assert (alone.by, len(alone.front)) == ("policies", 1)
    assert "several tasks on one node" in " ".join(alone.notes)


async def test_objectives_are_for_tasks_that_are_given(scheduler: Scheduler) -> None:
    with pytest.raises(errors.InvalidRequest, match="not submitted yet"):
        await scheduler.plan(objectives=["makespan"])


async def test_the_plan_of_what_waits_knows_what_was_held_and_what_was_paused(scheduler: Scheduler) -> None:
    held = await scheduler.submit(call("add"), a=1, options={"hold": True})
    await scheduler.pause()
    waiting = await scheduler.submit(call("add"), a=1)
    plan = await scheduler.plan()
    rows = {row.id: row for row in plan.tasks}
    assert rows[held.id].why == "held until a person resumes it"
    assert rows[waiting.id].end is not None
    assert any("paused" in note for note in plan.notes)
    await scheduler.resume()
    await held.cancel()
    assert await waiting.result(LIMIT) == 2


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
