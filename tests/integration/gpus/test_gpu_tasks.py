"""From `needs.gpus` to a process that sees its GPU: a real engine, real workers and commands, made-up GPUs."""

import json
import os
import sys

import pytest
from fake_nvml import GIB

from mcp_scheduler.errors import Unsatisfiable

PRINT = "import os, json; print(json.dumps(os.environ.get('CUDA_VISIBLE_DEVICES')))"


def test_a_task_sees_its_gpu_and_a_task_that_asks_for_none_sees_none(scenario, start):
    uuid = scenario.gpu()
    engine = start()
    seen = engine.result(engine.submit("look", gpus=1))
    assert (seen["visible"], seen["order"], seen["devices"]) == (uuid, "PCI_BUS_ID", [uuid])
    assert engine.result(engine.submit("look"))["visible"] == ""
    command = engine.submit(command=[sys.executable, "-c", PRINT], gpus=1)
    assert json.loads(engine.result(command)["stdout_tail"]) == uuid


def test_the_next_call_of_its_kind_finds_the_worker_warm_and_another_kind_has_it_ended(scenario, start):
    scenario.gpu()
    engine = start()
    first = engine.result(engine.submit("look", gpus=1))
    second = engine.result(engine.submit("look", gpus=1))
    assert second["pid"] == first["pid"]
    other = engine.result(engine.submit("look", gpus=1, cpus=0.5))  # other needs: another worker
    assert other["pid"] != first["pid"]
    engine.until(lambda: not os.path.exists(f"/proc/{first['pid']}"), "the warm worker ends")


def test_a_gang_gets_two_gpus_at_once(scenario, start):
    one, two = scenario.gpu(), scenario.gpu()
    engine = start()
    small, go_on = engine.hold("small", gpus=1)
    gang = engine.submit("look", gpus=2)
    engine.until_why(gang, "held as a whole by " + small)
    go_on()
    assert engine.result(gang)["devices"] == [one, two]


def test_two_tasks_share_a_gpu_and_a_third_finds_no_room(scenario, start):
    uuid = scenario.gpu(total=24 * GIB)
    engine = start()
    a, end_a = engine.hold("a", gpus=1, gpu_memory=10 * GIB)
    b, end_b = engine.hold("b", gpu_memory="10GB")
    third = engine.submit("look", gpu_memory=6 * GIB)
    engine.until_why(third, "GiB can be promised")
    (device,) = engine.devices()
    assert sorted(device["tasks"]) == sorted([a, b])
    assert device["uuid"] == uuid
    end_a()
    end_b()
    assert engine.result(third)["devices"] == [uuid]


def test_a_foreign_process_keeps_a_task_waiting_with_the_reason(scenario, start):
    uuid = scenario.gpu()
    engine = start()
    scenario.process(uuid, 1, 30 * GIB)
    engine.until(lambda: engine.devices()[0]["free"] < 60 * GIB, "the sensor sees the other program")
    task = engine.submit("look", gpus=1)
    engine.until_why(task, "other programs use 30.0 GiB")
    scenario.end_process(1)
    assert engine.result(task)["devices"] == [uuid]


def test_a_function_on_a_gpu_is_adopted_and_its_gpu_is_not_offered_meanwhile(scenario, start):
    uuid = scenario.gpu()
    engine = start()
    task, go_on = engine.hold("long", gpus=1)
    pid = int(engine.until(lambda: engine.task(task), "is there")["attempt"])
    assert pid == 1  # the first attempt
    engine.kill()
    engine.start()
    waiting = engine.submit("look", gpus=1)
    engine.until_why(waiting, "held as a whole by " + task)
    assert engine.task(task)["state"] == "running"
    go_on()
    assert engine.result(task)["devices"] == [uuid]
    assert engine.task(task)["attempt"] == 1
    assert engine.result(waiting)["devices"] == [uuid]


def test_a_worker_that_ran_out_of_memory_is_replaced(scenario, start):
    scenario.gpu()
    engine = start()
    before = engine.result(engine.submit("look", gpus=1))["pid"]
    broken = engine.submit("exhaust", gpus=1)
    engine.client.call("wait", {"ids": [broken], "timeout": 60})
    assert engine.task(broken)["reason"] == "out_of_memory"
    after = engine.result(engine.submit("look", gpus=1))
    assert after["pid"] != before


def test_without_a_driver_cpu_work_goes_on_and_an_alert_says_what_to_do(scenario, start):
    scenario.fail("nvmlInitWithFlags", 9)
    engine = start()
    assert engine.result(engine.submit("look"))["devices"] == []
    assert any("not loaded" in alert for alert in engine.load()["alerts"])
    with pytest.raises(Unsatisfiable, match="not loaded"):
        engine.submit("look", gpus=1)


def test_who_asks_for_more_than_there_is_is_told_what_there_is(scenario, start):
    scenario.gpu()
    engine = start()
    with pytest.raises(Unsatisfiable, match="1 x h100-80gb"):
        engine.submit("look", gpus=2)
    with pytest.raises(Unsatisfiable, match="rtx"):
        engine.submit("look", device="rtx")


def test_a_gpu_of_another_homes_engine_is_not_offered(scenario, start):
    uuid = scenario.gpu()
    first = start("a")
    second = start("b")
    task = second.submit("look", gpus=1)
    second.until_why(task, "Another engine of mcp-scheduler has this GPU")
    assert any("Another engine" in alert for alert in second.load()["alerts"])
    first.client.call("stop", {})
    assert second.result(task)["devices"] == [uuid]


def test_a_drained_gpu_is_not_offered_even_after_a_restart_until_it_is_given_back(scenario, start):
    scenario.gpu()
    engine = start()
    (drained,) = engine.client.call("drain", {"device": "gpu0"})["devices"]
    assert drained["health"] == "withheld"
    engine.kill()
    engine.start()
    task = engine.submit("look", gpus=1)
    engine.until_why(task, "drained by its owner")
    engine.client.call("undrain", {"device": "gpu0"})
    assert engine.result(task)["visible"]


def test_a_drain_for_a_while_ends_by_itself(scenario, start):
    scenario.gpu()
    engine = start()
    engine.client.call("drain", {"device": "gpu0", "lasting": "2s"})
    task = engine.submit("look", gpus=1)
    assert "drained" in engine.task(task)["why"]
    assert engine.result(task)["visible"]


def test_a_declared_device_is_shown_by_its_own_variable(scenario, start):
    declared = 'id = "mi300-0", label = "mi300x", variable = "HIP_VISIBLE_DEVICES", value = "0"'
    engine = start(settings=f"devices = [{{{declared}}}]\n")
    task = engine.submit(command=[sys.executable, "-c", "import os; print(os.environ['HIP_VISIBLE_DEVICES'])"], gpus=1)
    assert engine.result(task)["stdout_tail"].strip() == "0"
    assert engine.task(task)["attempts"][0]["devices"] == ["mi300-0"]


def test_switched_off_gpus_are_left_alone(scenario, start):
    scenario.gpu()
    engine = start(settings="gpus = false\n")
    assert engine.devices() == []
    assert engine.result(engine.submit("look"))["visible"] is None
    with pytest.raises(Unsatisfiable, match="switched off"):
        engine.submit("look", gpus=1)
