"""A GPU falls off the bus in the middle of what runs on it: its tasks run on another one."""

import sys

LOST = 15  # NVML_ERROR_GPU_IS_LOST
HANG_ON_THE_FIRST = """
import os, pathlib, sys, time
began, first = sys.argv[1:]
pathlib.Path(began).touch()
if os.environ["CUDA_VISIBLE_DEVICES"] == first:
    time.sleep(600)
print(os.environ["CUDA_VISIBLE_DEVICES"])
"""


def test_what_ran_on_a_lost_gpu_runs_elsewhere_within_a_second(scenario, start):
    first, second = scenario.gpu(), scenario.gpu()
    engine = start()
    began = engine.folder / "began"
    command = [sys.executable, "-c", HANG_ON_THE_FIRST, str(began), first]
    asked = {"command": command, "needs": {"gpus": 1}, "retry": 2}
    (task,) = engine.client.call("submit", asked)["tasks"]
    engine.until(began.exists, "it runs on the first GPU")
    scenario.fail("*", LOST, first)
    assert engine.result(task["id"])["stdout_tail"].strip() == second
    one, other = engine.task(task["id"])["attempts"]
    assert one["reason"] == "lost"
    assert one["error"].startswith("The device that it ran on is gone or broken.")
    assert other["started_at"] - one["ended_at"] < 1.2  # the delay of `retry` is a second at most
