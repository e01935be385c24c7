"""Sensor, owners, accounts and peaks together, over child processes that take memory through libcuda's stand-in."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from fake_nvml import GIB, MIB

from mcp_scheduler.core.accounts import HEADROOM
from mcp_scheduler.core.devices import Devices
from mcp_scheduler.core.peaks import Peaks
from mcp_scheduler.core.seen import visibility
from mcp_scheduler.core.task import Needs
from mcp_scheduler.telemetry import gpu_check, owners
from mcp_scheduler.telemetry.owners import Owners

ROOT = str(Path(gpu_check.__file__).parents[2])
BURDEN = [sys.executable, "-m", "mcp_scheduler.telemetry.gpu_burden"]
SHARED = Needs(gpus=1, gpu_memory=4 * GIB)


@contextlib.contextmanager
def taking(scenario, amount, gpus, cookie=""):
    """A process that holds memory on the first of these GPUs."""
    environ = {**os.environ, **scenario.environment(), **visibility(gpus), "PYTHONPATH": ROOT}
    if cookie:
        environ["MCP_SCHEDULER_COOKIE"] = cookie
    with subprocess.Popen([*BURDEN, str(amount)], env=environ, stdin=-1, stdout=-1, text=True) as child:
        child.told = child.stdout.readline().strip()
        yield child
        child.communicate()


def test_a_shared_gpu_from_its_promise_to_its_end(scenario, watch):
    scenario.gpu("NVIDIA GeForce RTX 3090", total=24 * GIB)
    tenants = {}
    watched = watch(tenant_of=Owners(tenants, in_container=False).tenant)
    snapshot = watched.first()
    devices, peaks = Devices(snapshot.gpus), Peaks()
    devices.take("a.1", SHARED)
    tenants["cookie-a"] = "a.1"
    promised = 24 * GIB - HEADROOM - 4 * GIB - 512 * MIB
    uuid = snapshot.gpus[0].uuid
    assert devices.states[uuid].account.free == promised

    with taking(scenario, 3 * GIB, snapshot.gpus, "cookie-a") as ours:
        assert ours.told == "holding 3072 MiB through libcuda"
        devices.observe(watched.until(lambda now: now.gpus[0].used == 3 * GIB + 300 * MIB).gpus)
        peaks.note(devices.uses())
        assert devices.states[uuid].account.free == promised  # in use or promised, but not both
        assert devices.states[uuid].account.foreign == 0

        with taking(scenario, 5 * GIB, snapshot.gpus) as stranger:
            grown = watched.until(lambda now: len(now.gpus[0].processes) == 2)
            devices.observe(grown.gpus)
            assert {p.pid: p.owner for p in grown.gpus[0].processes} == {ours.pid: "a.1", stranger.pid: ""}
            assert devices.states[uuid].account.free == promised - 5 * GIB - 300 * MIB

    devices.give_back("a.1", gone=True)
    devices.observe(watched.until(lambda now: not now.gpus[0].processes).gpus)
    assert devices.fits(Needs(gpus=1))
    assert peaks.end("a.1") == 3 * GIB + 300 * MIB


def test_whose_memory_it_is_stays_unknown_in_a_container_and_nothing_is_counted_twice(scenario, watch):
    uuid = scenario.gpu(total=24 * GIB)
    watched = watch(tenant_of=Owners({"cookie-a": "a.1"}, in_container=True).tenant)
    devices = Devices(watched.first().gpus)
    devices.take("a.1", SHARED)
    free = devices.states[uuid].account.free
    with taking(scenario, 3 * GIB, watched.first().gpus, "cookie-a"):
        devices.observe(watched.until(lambda now: now.gpus[0].used).gpus)
        assert devices.states[uuid].account.free == free
        assert list(devices.uses()) == [("a.1", uuid, 3 * GIB + 300 * MIB)]


def test_a_killed_process_leaves_no_memory_behind(scenario, watch):
    scenario.gpu(total=24 * GIB)
    watched = watch()
    with taking(scenario, GIB, watched.first().gpus) as child:
        watched.until(lambda now: now.gpus[0].processes)
        child.kill()
        watched.until(lambda now: not now.gpus[0].processes and now.gpus[0].used == 0)


def test_more_than_there_is_cannot_be_taken(scenario, watch):
    scenario.gpu(total=2 * GIB)
    with taking(scenario, 2 * GIB, watch().first().gpus) as child:
        assert "cuMemAlloc failed with CUDA error 2" in child.told


def check(scenario, monkeypatch, *words):
    for name, value in {**scenario.environment(), "PYTHONPATH": ROOT}.items():
        monkeypatch.setenv(name, value)
    said = []
    code = gpu_check.main(words, said.append)
    return code, "\n".join(said)


def test_the_check_on_a_machine_without_a_gpu_says_so_and_ends_well(scenario, monkeypatch):
    assert check(scenario, monkeypatch) == (0, "No GPU to check. The NVIDIA driver lists no GPU.")


def test_the_check_tells_before_during_and_after(scenario, monkeypatch):
    monkeypatch.setattr(owners, "_is_nested", lambda _: False)
    scenario.gpu(total=24 * GIB)
    code, said = check(scenario, monkeypatch, "--megabytes", "1024")
    assert code == 0, said
    rows = [line.split() for line in said.splitlines() if line.startswith("gpu0")]
    assert [(row[1], row[2], row[3]) for row in rows] == [
        ("before", "0", "24576"),
        ("reserved", "0", "24576"),
        ("allocated", "1324", "23252"),
        ("after", "0", "24576"),
    ]
    assert [int(row[4]) for row in rows] == [24064, 22528, 22528, 24064]
    assert "the check's" in said
    assert said.endswith("All is seen as it should be.")


def test_the_check_in_a_container_says_that_it_cannot_tell_whose_the_process_is(scenario, monkeypatch):
    monkeypatch.setattr(owners, "_is_nested", lambda _: True)
    scenario.gpu(total=24 * GIB)
    code, said = check(scenario, monkeypatch)
    assert code == 0, said
    assert "a container?" in said


def test_the_check_fails_where_memory_is_taken_that_nobody_sees(scenario, monkeypatch):
    monkeypatch.setattr(gpu_check, "_LIMIT", 1.0)
    uuid = scenario.gpu(total=24 * GIB)
    other = scenario.gpu(total=8 * GIB)
    monkeypatch.setattr(gpu_check, "visibility", lambda _: {"CUDA_VISIBLE_DEVICES": other})
    code, said = check(scenario, monkeypatch, "--device", uuid)
    assert code == 1
    assert "NOT AS IT SHOULD BE: The device's used memory did not grow" in said
