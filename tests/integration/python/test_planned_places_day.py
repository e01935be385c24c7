"""Two unlike devices, declared in the settings: a plan says where to run, is submitted, and runs there."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from python_door import LIMIT

from mcp_scheduler import Scheduler, views

pytestmark = pytest.mark.anyio

CONFIG = """
[[pool.devices]]
id = "card-0"
label = "fast"
variable = "CARD"
value = "0.05"
watts = 400

[[pool.devices]]
id = "card-1"
label = "slow"
variable = "CARD"
value = "0.25"
watts = 10
"""


async def test_a_frugal_plan_is_chosen_and_runs_on_the_slow_device(tmp_path: Path) -> None:
    script = tmp_path / "train"
    script.write_text("#!/bin/sh\nsleep $CARD\n")
    script.chmod(0o755)
    task = {"command": [str(script)], "needs": {"gpus": 1}}
    with TemporaryDirectory(prefix="door-") as home:
        (Path(home) / "config.toml").write_text(CONFIG)
        async with Scheduler.open(home, principal="tester") as scheduler:
            known = [{**task, "needs": {"gpus": 1, "device": label}} for label in ("fast", "slow") for _ in range(4)]
            await scheduler.gather(await scheduler.submit_many(known), LIMIT)
            tasks = {"a": task, "b": task}
            view = await scheduler.plan(tasks, objectives=["makespan", "energy"], seconds=0.8)
            quick, frugal = view.front[0], view.front[-1]
            assert frugal.where == {"local slow": ("a", "b")}
            assert "a" in quick.where.get("local fast", ()) or "b" in quick.where.get("local fast", ())
            assert frugal.energy < quick.energy
            await scheduler.pause()
            handle = await scheduler.submit_graph(tasks, plan=frugal.plan)
            group = await scheduler.get(handle.id, detail=True)
            assert isinstance(group, views.GroupView)
            told = (await scheduler.explain(group.tasks[0].id)).lines
            assert any(line == "pin: the plan wants it on local, slow, which is free" for line in told)
            await scheduler.resume()
            await handle.result(LIMIT)
            for one in group.tasks:
                ended = await scheduler.get(one.id, detail=True)
                assert isinstance(ended, views.TaskView)
                assert [attempt.devices for attempt in ended.attempts] == [("card-1",)]
