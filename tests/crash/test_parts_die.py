"""Zygote, shim or worker are killed or frozen: the engine goes on and says truthfully what became of the work."""

from __future__ import annotations

import os
import signal

import anyio
import pytest
from attacked import call, end_of, is_alive, kill, submit

pytestmark = pytest.mark.anyio


async def test_a_killed_zygote_ends_nothing_and_is_replaced(house):
    async with house.client() as client:
        running = await submit(client, "until", "running", arguments={"file": str(house.gate())})
        pid = await house.run_of("running")
        engine = house.engine()
        for zygote in house.house.processes()["zygote"]:
            kill(zygote)
        later = await submit(client, "steady", "later", arguments={"value": 2, "seconds": 0.01})
        assert (await end_of(client, later))["result"] == 4
        assert is_alive(pid)
        house.gate().touch()
        assert (await end_of(client, running))["result"] == "seen"
    assert house.engine() == engine
    assert house.runs("running") == [pid]


async def test_a_killed_shim_takes_the_whole_tree_along_and_the_task_says_so(house):
    async with house.client() as client:
        task = await submit(client, "daemonic", "tree", arguments={"value": 1, "seconds": 60})
        worker = await house.run_of("tree")
        await house.until(lambda: house.house.processes()["other"], "the child that outlives SIGTERM")
        (child,) = house.house.processes()["other"]
        for shim in house.house.processes()["shim"]:
            kill(shim)
        ended = await end_of(client, task)
    assert ended["state"] == "failed"
    assert ended["reason"] in ("crashed", "lost")
    assert not is_alive(worker)
    assert not is_alive(child)
    assert len(house.runs("tree")) == 1


async def test_a_killed_worker_ends_its_attempt_as_crashed_and_its_daemons_with_it(house):
    async with house.client() as client:
        task = await submit(client, "daemonic", "tree", arguments={"value": 1, "seconds": 60})
        worker = await house.run_of("tree")
        await house.until(lambda: house.house.processes()["other"], "the child that outlives SIGTERM")
        (child,) = house.house.processes()["other"]
        kill(worker)
        ended = await end_of(client, task)
    assert (ended["state"], ended["reason"]) == ("failed", "crashed")
    assert "SIGKILL" in ended["error"]
    assert not is_alive(child)


async def test_a_frozen_worker_is_ended_by_its_tasks_timeout(house):
    async with house.client() as client:
        task = await submit(client, "until", "frozen", arguments={"file": str(house.gate())}, timeout=1)
        worker = await house.run_of("frozen")
        os.kill(worker, signal.SIGSTOP)
        seen = await call(client, "get_task", id=task)
        assert seen["state"] == "running"
        assert f"kill -CONT {worker}" in seen["why"]
        alerts = (await call(client, "get_node_load"))["alerts"]
        assert any(task in alert and f"kill -CONT {worker}" in alert for alert in alerts), alerts
        ended = await end_of(client, task)
    assert (ended["state"], ended["reason"]) == ("failed", "timeout")
    assert not is_alive(worker)


async def test_a_frozen_engine_overwrites_nothing_and_answers_when_it_thaws(house):
    async with house.client() as client:
        ended_before = await submit(client, "quick", "before", arguments={"value": 1})
        story = await end_of(client, ended_before)
        task = await submit(client, "until", "meanwhile", arguments={"file": str(house.gate())})
        await house.run_of("meanwhile")
        engine = house.engine()
        os.kill(engine, signal.SIGSTOP)
        house.gate().touch()
        await house.until(lambda: list((house.folder / "ends").glob("meanwhile *")), "the function is through")
        async with anyio.create_task_group() as group:
            group.start_soon(_ask, client, task)  # the relay keeps the question
            os.kill(engine, signal.SIGCONT)
        ended = await end_of(client, task)
        assert (ended["state"], ended["result"]) == ("succeeded", "seen")
        assert await call(client, "get_task", id=ended_before, detail=True) == story
    assert house.engine() == engine
    assert len(house.runs("meanwhile")) == 1


@pytest.mark.parametrize("is_known", [False, True], ids=["unknown function", "known function"])
async def test_a_worker_killed_while_it_loads_the_functions_is_replaced_and_nobody_notices(house, is_known):
    loading = house.folder / "loading"
    source = house.folder / "work.py"
    source.write_text(source.read_text() + "\n".join(_SLOW_TO_LOAD))
    async with house.client() as client:
        if is_known:
            loading.touch()
            assert (await end_of(client, await submit(client, "quick", "first", arguments={"value": 1})))["result"] == 2
            for worker in house.house.processes()["worker"]:
                kill(worker)
            loading.unlink()
        async with anyio.create_task_group() as group:
            group.start_soon(_kill_the_loading, house, loading)
            ended = await end_of(client, await submit(client, "quick", "second", arguments={"value": 4}))
    assert (ended["state"], ended["result"]) == ("succeeded", 8), ended
    assert len(house.runs("second")) == 1


_SLOW_TO_LOAD = (
    "",
    "from witness import FOLDER",
    "if not (FOLDER / 'loading').exists():",
    "    (FOLDER / 'loading.draft').write_text(str(os.getpid()))",
    "    (FOLDER / 'loading.draft').rename(FOLDER / 'loading')",
    "    time.sleep(600)",
    "",
)


async def _ask(client, task):
    assert (await call(client, "get_task", id=task))["id"] == task


async def _kill_the_loading(house, loading):
    await house.until(loading.exists, "a worker loads the functions")
    kill(int(loading.read_text()))
