"""The engine is killed: nothing that was acknowledged is lost, nothing runs twice, what runs goes on."""

from __future__ import annotations

import os
import signal

import pytest
from attacked import call, end_of, is_alive, kill, submit

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_a_running_function_goes_on_in_its_process_and_its_result_arrives(house, era):
    async with house.client(era) as client:
        task = await submit(client, "until", "long", arguments={"file": str(house.gate())})
        pid = await house.run_of("long")
        first = house.engine()
        kill(first)
        await house.engine_after(first)
        assert (await call(client, "get_task", id=task))["state"] == "running"
        assert is_alive(pid)
        house.gate().touch()
        ended = await end_of(client, task)
    assert (ended["state"], ended["result"]) == ("succeeded", "seen")
    assert house.runs("long") == [pid]
    assert len(ended["attempts"]) == 1


async def test_a_function_that_ended_while_no_engine_lived_has_its_result_and_its_output(house):
    async with house.client() as client:
        waiting = await submit(client, "until", "first", arguments={"file": str(house.gate())})
        pid = await house.run_of("first")
        first = house.engine()
        # Nobody may start the next engine before the function has ended.
        for relay in house.house.processes()["relay"]:
            os.kill(relay, signal.SIGSTOP)
        kill(first)
        house.gate().touch()
        await house.until((house.home_file("attempts") / f"{waiting}.1.exit").exists, "the exit record")
        for relay in house.house.processes()["relay"]:
            os.kill(relay, signal.SIGCONT)
        ended = await end_of(client, waiting)
    assert (ended["state"], ended["result"]) == ("succeeded", "seen")
    assert house.runs("first") == [pid]


async def test_killed_after_the_commit_and_before_its_effect_it_leaves_tasks_that_run_once(house):
    """Nothing can be started while the zygote is frozen: what was committed waits for its effect."""
    async with house.client() as client:
        await end_of(client, await submit(client, "quick", "warm", arguments={"value": 1}))
        (zygote,) = house.house.processes()["zygote"]
        os.kill(zygote, signal.SIGSTOP)
        tasks = [
            await submit(client, "steady", f"t{number}", arguments={"value": number, "seconds": 0.1})
            for number in range(6)
        ]
        first = house.engine()
        kill(first)
        os.kill(zygote, signal.SIGCONT)
        ends = [await end_of(client, task) for task in tasks]
    for number, ended in enumerate(ends):
        assert (ended["state"], ended["result"]) == ("succeeded", 2 * number), ended
        assert len(house.runs(f"t{number}")) == 1
    assert any(attempt.get("reason") == "returned" for ended in ends for attempt in ended["attempts"])
    assert house.engine() != first
    assert not house.violations()


async def test_killed_with_its_worker_a_function_fails_once_and_says_what_to_do(house):
    async with house.client() as client:
        task = await submit(client, "until", "once", arguments={"file": str(house.gate())})
        worker = await house.run_of("once")
        kill(house.engine())
        kill(worker)
        ended = await end_of(client, task)
    assert ended["state"] == "failed"
    assert ended["reason"] in ("crashed", "lost")
    assert "retry" in ended["hint"]
    assert len(house.runs("once")) == 1


async def test_killed_with_its_worker_an_idempotent_function_runs_again(house):
    async with house.client() as client:
        task = await submit(client, "until_repeatable", "again", arguments={"file": str(house.gate())})
        worker = await house.run_of("again")
        kill(house.engine())
        kill(worker)
        await house.run_of("again", times=2)
        house.gate().touch()
        ended = await end_of(client, task)
    assert (ended["state"], ended["result"]) == ("succeeded", "seen")
    assert not house.violations()


async def test_killed_with_everything_the_acknowledged_are_there_and_the_waiting_run(house):
    async with house.client() as client:
        began = [
            await submit(client, "until", f"b{number}", arguments={"file": str(house.gate())}) for number in range(3)
        ]
        for number in range(3):
            await house.run_of(f"b{number}")
        waiting = await submit(client, "quick", "waiting", arguments={"value": 4}, after=[])
        for role in ("relay", "engine", "zygote", "shim", "worker"):
            for pid in house.house.processes()[role]:
                kill(pid)
        with pytest.raises(Exception, match=r".*"):  # the relay is gone, too
            await call(client, "list_tasks")
    async with house.client() as client:
        assert (await end_of(client, waiting))["state"] == "succeeded"
        for task in began:
            ended = await end_of(client, task)
            assert (ended["state"], ended["reason"]) == ("failed", "lost")
    assert len(house.runs("waiting")) == 1


async def test_a_cancel_that_was_acknowledged_is_carried_out_by_the_next_engine(house):
    async with house.client() as client:
        task = await submit(client, "until", "unwanted", arguments={"file": str(house.gate())})
        worker = await house.run_of("unwanted")
        os.kill(worker, signal.SIGSTOP)  # it cannot hear the stop yet
        shims = house.house.processes()["shim"]
        for shim in shims:
            os.kill(shim, signal.SIGSTOP)
        await call(client, "cancel_task", ids=[task])
        kill(house.engine())
        for pid in (*shims, worker):
            os.kill(pid, signal.SIGCONT)
        assert (await end_of(client, task))["state"] == "cancelled"
    assert not is_alive(worker)


async def test_stopped_in_order_it_leaves_running_work_to_the_next_engine(house):
    async with house.client() as client:
        task = await submit(client, "until", "kept", arguments={"file": str(house.gate())})
        pid = await house.run_of("kept")
        house.house.stop()
        assert is_alive(pid)
        house.gate().touch()
        ended = await end_of(client, task)
    assert (ended["state"], ended["result"]) == ("succeeded", "seen")
    assert house.runs("kept") == [pid]
