"""Plans and orders through the Python door."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from python_door import LIMIT, call

from mcp_scheduler import Scheduler, errors, views

pytestmark = pytest.mark.anyio


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
    assert "one task and one place" in " ".join(alone.notes)


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
