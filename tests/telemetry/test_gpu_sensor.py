"""What the sensor sees of a healthy machine, through the real pynvml."""

import itertools
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fake_nvml import GIB, MIB, Scenario, compile_library

from mcp_scheduler.core.seen import NVLINK, SAME_SOCKET, SAME_SWITCH, Use
from mcp_scheduler.telemetry import readings
from mcp_scheduler.telemetry.declared import declared


def test_a_gpu_is_seen_with_all_its_figures(scenario, watch):
    uuid = scenario.gpu(
        used=10 * GIB,
        reserved=600 * MIB,
        util=40,
        temperature=55,
        power=300_000,
        power_limit=450_000,
        energy=123_456,
        recovery=0,
    )
    snapshot = watch().first()
    (gpu,) = snapshot.gpus
    assert (gpu.uuid, gpu.index, gpu.short, gpu.name) == (uuid, 0, "gpu0", "NVIDIA H100 80GB HBM3")
    assert gpu.label == "h100-80gb"
    assert (gpu.total, gpu.used, gpu.free) == (80 * GIB, 10 * GIB, 70 * GIB - 600 * MIB)
    assert (gpu.utilisation, gpu.temperature, gpu.power, gpu.energy) == (40, 55, 300_000, 123_456)
    assert gpu.power_limit == 450_000
    assert gpu.healthy
    assert gpu.live
    assert not gpu.unified
    assert snapshot.driver == "550.54.15"
    assert (snapshot.absent, snapshot.alerts, snapshot.stale) == ("", (), False)


def test_processes_are_seen_with_their_memory_or_with_none_where_the_driver_does_not_say(scenario, watch):
    uuid = scenario.gpu()
    scenario.process(uuid, 11, 2 * GIB)
    scenario.process(uuid, 12, None)
    scenario.process(uuid, 13, GIB, "graphics")
    scenario.process(uuid, 14, GIB, "mps")
    (gpu,) = watch(tenant_of={11: "a", 12: None, 13: "", 14: "b"}.get).first().gpus
    assert {(p.pid, p.memory, p.use, p.owner) for p in gpu.processes} == {
        (11, 2 * GIB, Use.COMPUTE, "a"),
        (12, None, Use.COMPUTE, None),
        (13, GIB, Use.GRAPHICS, ""),
        (14, GIB, Use.COMPUTE, "b"),
    }


def test_a_process_that_computes_and_draws_counts_as_one_that_computes(scenario, watch):
    uuid = scenario.gpu()
    scenario.process(uuid, 11, GIB, "graphics")
    scenario.process(uuid, 11, GIB, "compute", counts=False)
    (gpu,) = watch().first().gpus
    assert [(p.pid, p.use) for p in gpu.processes] == [(11, Use.COMPUTE)]


def test_what_changes_is_seen_at_the_next_look(scenario, watch):
    uuid = scenario.gpu()
    watched = watch()
    watched.first()
    scenario.process(uuid, 11, 5 * GIB)
    watched.until(lambda now: now.gpus[0].used == 5 * GIB and now.gpus[0].processes)
    scenario.end_process(11)
    watched.until(lambda now: now.gpus[0].used == 0 and not now.gpus[0].processes)


def test_a_poke_brings_a_look_before_its_time(scenario, watch):
    uuid = scenario.gpu()
    watched = watch(interval=1000.0, busy_interval=1000.0)
    watched.first()
    scenario.set(uuid, used=GIB)
    watched.sensor.poke()
    watched.until(lambda now: now.gpus[0].used == GIB)


def test_while_tasks_run_on_gpus_looks_are_frequent(scenario, watch):
    uuid = scenario.gpu()
    watched = watch(interval=1000.0)
    watched.first()
    watched.sensor.watch(True)
    for used in (1, 2, 3):
        scenario.set(uuid, used=used * GIB)
        watched.until(lambda now, used=used: now.gpus[0].used == used * GIB)


@pytest.mark.parametrize(("busy", "pause"), [(False, 25.0), (True, 2.0)])
def test_slow_looks_are_made_less_often(scenario, watch, busy, pause):
    """A look takes 0.1 s by this clock, of which every reading is one more."""
    scenario.gpu()
    ticks = itertools.count()
    sensor = watch().sensor
    sensor.close(20)
    sensor._clock = lambda: next(ticks) * 0.1
    sensor._looking_since, sensor._is_busy = sensor._clock(), busy
    sensor._intervals, sensor._shares, sensor._retry = (5.0, 0.25), (0.004, 0.05), (5.0, 60.0)
    assert sensor._until_next() == pytest.approx(pause)


def test_memory_that_the_driver_does_not_know_is_unknown_and_not_the_hosts(scenario, watch):
    scenario.gpu(total="N/A")
    (gpu,) = watch().first().gpus
    assert (gpu.total, gpu.used, gpu.free) == (None, None, None)
    assert gpu.healthy
    assert gpu.label == "h100"


def test_a_gpu_without_memory_of_its_own_shows_the_pool_it_shares_with_the_host(scenario, watch, tmp_path, monkeypatch):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       131072 kB\nMemFree:  1 kB\nMemAvailable:   65536 kB\n")
    monkeypatch.setattr(readings.Readings.__init__, "__defaults__", (meminfo,))
    scenario.gpu("NVIDIA GB10", total="N/A")
    (gpu,) = watch().first().gpus
    assert gpu.unified
    assert (gpu.total, gpu.used, gpu.free) == (128 * MIB, 64 * MIB, 64 * MIB)
    assert gpu.label == "gb10"


def test_mig_instances_are_devices_and_their_gpu_is_not(scenario, watch):
    parent = scenario.gpu("NVIDIA A100-SXM4-80GB", util=None)
    other = scenario.gpu()
    parts = [scenario.instance(parent, profile="1g.10gb"), scenario.instance(parent, total=40 * GIB, profile="4g.40gb")]
    scenario.process(parts[1], 11, GIB)
    seen = watch().first().gpus
    assert [gpu.uuid for gpu in seen] == [*parts, other]
    assert [gpu.short for gpu in seen] == ["gpu0:0", "gpu0:1", "gpu1"]
    assert [gpu.label for gpu in seen] == ["a100-mig-1g-10gb", "a100-mig-4g-40gb", "h100-80gb"]
    assert seen[1].parent == parent
    assert seen[1].used == GIB
    assert seen[0].utilisation is None


def test_a_new_partition_replaces_the_instances(scenario, watch):
    parent = scenario.gpu()
    old = scenario.instance(parent)
    watched = watch()
    watched.first()
    scenario.remove(old)
    watched.until(lambda now: not now.gpus and "gpu0 has MIG switched on but no instances" in now.alerts[0])
    new = scenario.instance(parent, uuid="MIG-new")
    assert [gpu.uuid for gpu in watched.until(lambda now: now.gpus).gpus] == [new]


def test_links_rank_nvlink_before_a_switch_before_a_socket(scenario, watch):
    uuids = [scenario.gpu() for _ in range(4)]
    scenario.link(uuids[0], uuids[1], links=4)
    scenario.link(uuids[2], uuids[3], links=2)
    scenario.near(uuids[0], uuids[2], 10)
    scenario.near(uuids[0], uuids[3], 40)
    seen = {gpu.uuid: dict(gpu.links) for gpu in watch().first().gpus}
    assert seen[uuids[0]] == {uuids[1]: NVLINK + 4, uuids[2]: SAME_SWITCH, uuids[3]: SAME_SOCKET}
    assert seen[uuids[3]] == {uuids[2]: NVLINK + 2, uuids[0]: SAME_SOCKET}


def test_gpus_behind_nvlink_switches_are_all_linked(scenario, watch):
    uuids = [scenario.gpu() for _ in range(3)]
    for uuid in uuids:
        scenario.link_to(uuid, "0000:c1:00.0", links=18)
    for gpu in watch().first().gpus:
        assert set(gpu.links) == {(uuid, NVLINK + 18) for uuid in uuids if uuid != gpu.uuid}


@pytest.mark.parametrize(
    ("visible", "indices"),
    [(None, [0, 1, 2]), ("1,0", [0, 1]), ("2", [2]), ("", []), ("0,7,1", [0]), ("GPU-00000001", [1]), ("GPU-", [])],
)
def test_an_inherited_cuda_visible_devices_is_the_allowed_set(scenario, watch, visible, indices):
    for _ in range(3):
        scenario.gpu()
    snapshot = watch(visible=visible).first()
    assert [gpu.index for gpu in snapshot.gpus] == indices
    assert ("hides every GPU" in snapshot.absent) is not bool(indices)


def test_mig_instances_are_allowed_by_their_own_uuid_or_by_their_gpus(scenario, watch):
    parent = scenario.gpu()
    parts = [scenario.instance(parent) for _ in range(2)]
    assert [gpu.uuid for gpu in watch(visible=parts[1]).first().gpus] == [parts[1]]
    assert [gpu.uuid for gpu in watch(visible="0").first().gpus] == parts
    assert [gpu.uuid for gpu in watch(visible=parent).first().gpus] == parts


def test_declared_devices_come_with_the_others(scenario, watch):
    uuid = scenario.gpu()
    rows = [{"id": "tpu0", "label": "tpu-v5e", "memory": 16 * GIB, "variable": "TPU_VISIBLE_CHIPS", "value": "0"}]
    seen = watch(declared=declared(rows)).first().gpus
    assert [gpu.uuid for gpu in seen] == [uuid, "tpu0"]
    assert not seen[1].live


def test_an_old_driver_without_newer_functions_is_good_enough(tmp_path):
    """In a process of its own, in which the symbols are really not there."""
    machine = Scenario(tmp_path / "scenario", compile_library(tmp_path, "-DOLD_DRIVER"))
    uuid = machine.gpu(used=GIB, reserved=GIB, energy=5)
    machine.process(uuid, 11, GIB, counts=False)
    program = """
import threading
from mcp_scheduler.telemetry.gpu import GpuSensor
seen = threading.Event()
sensor = GpuSensor(on_snapshot=lambda _: seen.set())
sensor.start()
assert seen.wait(20)
gpu, = sensor.snapshot().gpus
print(gpu.used // 2**30, gpu.free // 2**30, gpu.energy, gpu.health, [p.pid for p in gpu.processes])
sensor.close()
"""
    environ = {**os.environ, **machine.environment(), "PYTHONPATH": str(Path(readings.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "78", "None", "ok", "[11]"]


def test_the_sensor_uses_one_thread_that_does_not_keep_the_program_alive(scenario, watch):
    scenario.gpu()
    before = threading.active_count()
    watched = watch()
    watched.first()
    assert threading.active_count() == before + 1
    assert watched.sensor._thread.daemon


def test_a_machine_without_a_driver_does_not_pay_for_the_binding():
    program = """
import sys, threading
from mcp_scheduler.telemetry.gpu import GpuSensor
seen = threading.Event()
sensor = GpuSensor(on_snapshot=lambda _: seen.set(), library="libnvidia-ml.so.not-there")
sensor.start()
assert seen.wait(20)
sensor.close()
print("pynvml" in sys.modules)
"""
    environ = {**os.environ, "PYTHONPATH": str(Path(readings.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
