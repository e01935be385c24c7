"""Read these first: what the scheduler does for you, one idea a test. They run real functions in real processes.

The functions are in kitchen.py. How the decision behind it works is in test_02_how_it_decides.py.
"""

import asyncio

import pytest

from mcp_scheduler.scheduler import TaskFailed

pytestmark = pytest.mark.anyio
LIMIT = 30


async def test_a_function_is_submitted_and_its_result_comes_back(scheduler):
    task = await scheduler.submit("kitchen.add", x=1, y=2)
    assert await task.result(LIMIT) == 3


async def test_a_task_has_a_readable_id_and_a_state(scheduler):
    task = await scheduler.submit("kitchen.add", x=1, y=2)
    assert task.id.startswith("add-")
    view = await task.wait(LIMIT)
    assert (view.state, view.result, view.attempt) == ("succeeded", 3, 1)


async def test_many_tasks_are_submitted_at_once_and_gathered_in_order(scheduler):
    tasks = await scheduler.submit_many(
        [{"function": "kitchen.add", "arguments": {"x": number, "y": 1}} for number in range(100)]
    )
    assert await scheduler.gather(tasks, LIMIT) == [number + 1 for number in range(100)]


async def test_a_failure_tells_what_went_wrong(scheduler):
    task = await scheduler.submit("kitchen.refuse", why="too hot")
    with pytest.raises(TaskFailed, match="too hot") as failed:
        await task.result(LIMIT)
    assert failed.value.task.reason == "error"


async def test_a_failed_attempt_is_tried_again_only_if_that_was_asked_for(scheduler):
    once = await scheduler.submit("kitchen.work_at_the_second_try")
    thrice = await scheduler.submit(
        "kitchen.work_at_the_second_try", options={"retry": {"max_attempts": 3, "delay": 0}}
    )
    assert (await once.wait(LIMIT)).state == "failed"
    assert await thrice.result(LIMIT) == 2


async def test_tasks_of_a_graph_wait_for_each_other_and_hand_their_results_on(scheduler):
    graph = await scheduler.submit_graph(
        {
            "a": {"function": "kitchen.add", "arguments": {"x": 1, "y": 2}},
            "b": {"function": "kitchen.add", "arguments": {"x": 3, "y": 4}},
            "sum": {"function": "kitchen.add", "arguments": {"x": {"$result": "a"}, "y": {"$result": "b"}}},
        }
    )
    assert await graph.result(LIMIT) == [3, 7, 10]


async def test_what_depends_on_a_failure_is_skipped(scheduler):
    graph = await scheduler.submit_graph(
        {
            "bad": {"function": "kitchen.refuse", "arguments": {"why": "no"}},
            "after": {"function": "kitchen.add", "arguments": {"x": 1, "y": 1}, "after": ["bad"]},
        }
    )
    view = await graph.wait(LIMIT)
    assert view.counts == {"failed": 1, "skipped": 1}


async def test_a_task_can_wait_for_its_time_and_be_cancelled_before_it(scheduler):
    task = await scheduler.submit("kitchen.add", x=1, y=2, options={"start_after": "1h"})
    assert (await scheduler.get(task.id)).state == "scheduled"
    await task.cancel()
    assert (await task.wait(LIMIT)).state == "cancelled"


async def test_a_running_task_is_cancelled_with_its_process(scheduler, tmp_path):
    task = await scheduler.submit("kitchen.wait_for", file=str(tmp_path / "never"))
    async with asyncio.timeout(LIMIT):
        while (await scheduler.get(task.id)).state != "running":  # noqa: ASYNC110 - asked as a client asks
            await asyncio.sleep(0)
    await task.cancel()
    assert (await task.wait(LIMIT)).state == "cancelled"


async def test_the_same_key_gives_the_same_task(scheduler):
    options = {"idempotency_key": "breakfast"}
    first = await scheduler.submit("kitchen.add", x=1, y=2, options=options)
    again = await scheduler.submit("kitchen.add", x=1, y=2, options=options)
    assert again.id == first.id


async def test_what_a_function_prints_is_kept(scheduler):
    task = await scheduler.submit("kitchen.shout", text="hello")
    await task.wait(LIMIT)
    assert (await scheduler.read(task.id, "stdout")).text == "HELLO\n"


async def test_a_held_task_waits_for_a_word(scheduler):
    task = await scheduler.submit("kitchen.add", x=1, y=2, options={"hold": True})
    assert (await scheduler.get(task.id)).state == "held"
    await scheduler.update([task.id], "resume")
    assert await task.result(LIMIT) == 3


async def test_a_mistake_in_the_arguments_is_refused_before_anything_runs(scheduler):
    from mcp_scheduler.errors import BadArguments

    with pytest.raises(BadArguments, match="'y' is missing"):
        await scheduler.submit("kitchen.add", x=1)
