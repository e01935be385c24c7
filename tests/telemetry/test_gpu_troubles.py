"""Everything that goes wrong with drivers and GPUs: said in words, outlived, and looked at again."""

import re

import pytest
from fake_nvml import GIB

from mcp_scheduler.core.devices import Devices
from mcp_scheduler.core.seen import Health
from mcp_scheduler.core.task import Needs
from mcp_scheduler.telemetry.declared import declared

NOT_SUPPORTED, NO_PERMISSION, DRIVER_NOT_LOADED, NO_SYMBOL, LOST, RESET, MISMATCH, UNKNOWN = (
    3,
    4,
    9,
    13,
    15,
    16,
    18,
    999,
)
TPU = declared([{"id": "tpu0", "label": "tpu", "variable": "TPU_VISIBLE_CHIPS", "value": "0"}])


def healths(snapshot):
    return [gpu.health for gpu in snapshot.gpus]


def test_without_a_driver_library_there_are_no_gpus_and_nobody_is_alarmed(watch):
    snapshot = watch(library="libnvidia-ml.so.not-there", declared=TPU).first()
    assert snapshot.absent == "No NVIDIA driver on this machine."
    assert snapshot.alerts == ()
    assert [gpu.uuid for gpu in snapshot.gpus] == ["tpu0"]
    assert Devices(snapshot.gpus).fits(Needs(gpus=1))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (DRIVER_NOT_LOADED, "modprobe nvidia"),
        (MISMATCH, "restart this engine"),
        (NO_PERMISSION, "/dev/nvidia"),
        (UNKNOWN, "restart the container"),
        (17, r"nvmlInit: .* \(17\)"),
    ],
)
def test_a_driver_that_cannot_be_used_is_an_alert_that_says_what_to_do(scenario, watch, code, words):
    scenario.gpu()
    scenario.fail("nvmlInitWithFlags", code)
    watched = watch()
    snapshot = watched.first()
    assert snapshot.gpus == ()
    assert re.search(words, snapshot.absent)
    assert snapshot.alerts == (snapshot.absent,)
    scenario.heal("nvmlInitWithFlags")
    healed = watched.until(lambda now: now.gpus)
    assert healths(healed) == [Health.OK]
    assert healed.alerts == ()


def test_a_driver_that_goes_away_takes_its_gpus_and_gives_them_back(scenario, watch):
    scenario.gpu()
    watched = watch(declared=TPU)
    watched.first()
    scenario.fail("nvmlDeviceGetCount_v2", MISMATCH)
    gone = watched.until(lambda now: now.alerts)
    assert healths(gone) == [Health.SILENT, Health.OK]  # the declared one does not hang on it
    assert "different versions" in gone.gpus[0].why
    assert gone.gpus[0].free is None
    scenario.heal("nvmlDeviceGetCount_v2")
    watched.until(lambda now: healths(now) == [Health.OK, Health.OK] and not now.alerts)


def test_waiting_for_a_driver_grows_longer_up_to_the_limit(scenario, watch):
    scenario.fail("nvmlInitWithFlags", DRIVER_NOT_LOADED)
    watched = watch(retry=(0.001, 0.004))
    watched.until(lambda _: watched.sensor._pause == 0.004)
    scenario.heal("nvmlInitWithFlags")
    watched.until(lambda _: watched.sensor._pause == 0.001)


@pytest.mark.parametrize(
    ("code", "health"), [(LOST, Health.LOST), (RESET, Health.QUARANTINED), (UNKNOWN, Health.SILENT)]
)
@pytest.mark.parametrize("call", ["nvmlDeviceGetMemoryInfo", "nvmlDeviceGetHandleByIndex_v2", "*"])
def test_a_lost_gpu_costs_that_gpu_alone(scenario, watch, code, health, call):
    first, second = scenario.gpu(), scenario.gpu()
    watched = watch()
    assert healths(watched.first()) == [Health.OK, Health.OK]
    scenario.fail(call, code, second)
    if call == "nvmlDeviceGetMemoryInfo":
        scenario.fail("nvmlDeviceGetMemoryInfo_v2", code, second)
    broken = watched.until(lambda now: healths(now) == [Health.OK, health])
    assert [gpu.uuid for gpu in broken.gpus] == [first, second]
    assert broken.gpus[1].total == 80 * GIB
    assert broken.alerts[0].startswith("gpu1 (h100-80gb): The ")
    assert not broken.absent
    scenario.heal(call, second)
    if call == "nvmlDeviceGetMemoryInfo":
        scenario.heal("nvmlDeviceGetMemoryInfo_v2", second)
    watched.until(lambda now: healths(now) == [Health.OK, Health.OK] and not now.alerts)


def test_a_gpu_lost_before_it_was_ever_seen_is_told_by_its_place(scenario, watch):
    uuid = scenario.gpu()
    scenario.fail("*", LOST, uuid)
    watched = watch()
    snapshot = watched.first()
    assert snapshot.alerts[0].startswith("gpu0 (gpu): The driver has lost the GPU")
    scenario.heal("*", uuid)
    assert [gpu.uuid for gpu in watched.until(lambda now: not now.alerts).gpus] == [uuid]


def test_a_gpu_that_is_not_listed_any_more_is_lost(scenario, watch):
    first, second = scenario.gpu(), scenario.gpu()
    watched = watch()
    watched.first()
    scenario.remove(second)
    snapshot = watched.until(lambda now: now.alerts)
    assert [(gpu.uuid, gpu.health) for gpu in snapshot.gpus] == [(first, Health.OK), (second, Health.LOST)]


def test_the_driver_s_own_wish_for_a_reset_or_a_drain_is_heeded(scenario, watch):
    uuid = scenario.gpu(recovery=0)
    watched = watch()
    watched.first()
    scenario.set(uuid, recovery=1)
    assert "nvidia-smi --gpu-reset" in watched.until(lambda now: healths(now) == [Health.QUARANTINED]).alerts[0]
    scenario.set(uuid, recovery=4)
    watched.until(lambda now: healths(now) == [Health.DRAINING])
    scenario.set(uuid, recovery=0)
    watched.until(lambda now: healths(now) == [Health.OK])


def test_bad_memory_rows_drain_the_gpu(scenario, watch):
    uuid = scenario.gpu(remap=0)
    watched = watch()
    assert healths(watched.first()) == [Health.OK]
    scenario.set(uuid, remap=1)
    watched.until(lambda now: healths(now) == [Health.DRAINING] and "row waits" in now.alerts[0])
    scenario.set(uuid, remap=2)
    watched.until(lambda now: healths(now) == [Health.DRAINING] and "service" in now.alerts[0])


@pytest.mark.parametrize(
    ("number", "health"), [(79, Health.QUARANTINED), (119, Health.QUARANTINED), (94, Health.DRAINING)]
)
def test_an_xid_of_the_hardware_takes_the_gpu_out_until_somebody_forgives(scenario, watch, number, health):
    scenario.gpu()
    uuid = scenario.gpu()
    watched = watch()
    watched.first()
    scenario.xid(uuid, number)
    hit = watched.until(lambda now: healths(now) == [Health.OK, health])
    assert hit.alerts[0].startswith(f"gpu1 (h100-80gb): Xid {number}: ")
    assert [(xid.uuid, xid.number) for xid in hit.xids] == [(uuid, number)]
    seen = watched.until(lambda now: now.at > hit.at + 0.1)
    assert healths(seen) == [Health.OK, health]
    watched.sensor.forgive(uuid)
    watched.until(lambda now: healths(now) == [Health.OK, Health.OK])


def test_an_xid_of_the_application_is_told_and_leaves_the_gpu_alone(scenario, watch):
    uuid = scenario.gpu()
    watched = watch()
    watched.first()
    scenario.xid(uuid, 31)
    told = watched.until(lambda now: now.xids)
    assert told.xids[0].text == "Xid 31: an error of the program that ran"
    assert healths(told) == [Health.OK]


def test_an_xid_is_over_when_the_driver_says_that_nothing_is_to_be_done(scenario, watch):
    uuid = scenario.gpu(recovery=1)
    watched = watch()
    watched.first()
    scenario.xid(uuid, 79)
    watched.until(lambda now: now.xids)
    scenario.set(uuid, recovery=0)
    watched.until(lambda now: healths(now) == [Health.OK])


def test_an_xid_of_a_lost_gpu_is_known_by_its_handle(scenario, watch):
    uuid = scenario.gpu()
    watched = watch()
    watched.first()
    scenario.fail("*", LOST, uuid)
    scenario.xid(uuid, 79)
    assert watched.until(lambda now: now.xids).xids[0].uuid == uuid
    scenario.heal("*", uuid)
    watched.until(lambda now: healths(now) == [Health.QUARANTINED])


def test_an_xid_on_a_divided_gpu_takes_out_all_its_instances(scenario, watch):
    parent = scenario.gpu()
    scenario.instance(parent)
    scenario.instance(parent)
    watched = watch()
    watched.first()
    scenario.xid(parent, 48)
    watched.until(lambda now: healths(now) == [Health.QUARANTINED] * 2)


@pytest.mark.parametrize("call", ["nvmlEventSetCreate", "nvmlDeviceRegisterEvents", "nvmlEventSetWait_v2"])
def test_without_events_everything_else_works(scenario, watch, call):
    scenario.gpu()
    for code in (NOT_SUPPORTED, UNKNOWN, LOST):
        scenario.fail(call, code)
        watched = watch()
        assert healths(watched.first()) == [Health.OK]


@pytest.mark.parametrize(
    "call",
    [
        "nvmlSystemGetDriverVersion", "nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetUtilizationRates",
        "nvmlDeviceGetTemperature", "nvmlDeviceGetPowerUsage", "nvmlDeviceGetTotalEnergyConsumption",
        "nvmlDeviceGetEnforcedPowerLimit",
        "nvmlDeviceGetMigMode", "nvmlDeviceGetPciInfo_v3", "nvmlDeviceGetTopologyCommonAncestor",
        "nvmlDeviceGetNvLinkState", "nvmlDeviceGetFieldValues", "nvmlDeviceGetRemappedRows",
        "nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetGraphicsRunningProcesses_v3", "nvmlShutdown",
    ],
)  # fmt: skip
def test_what_a_device_does_not_support_costs_that_figure_alone(scenario, watch, call):
    scenario.gpu()
    scenario.gpu()
    for code in (NOT_SUPPORTED, NO_SYMBOL, NO_PERMISSION):
        scenario.fail(call, code)
        snapshot = watch().first()
        assert healths(snapshot) == [Health.OK, Health.OK]
        assert snapshot.gpus[0].free == 80 * GIB
        assert snapshot.gpus[0].listed is ("Compute" not in call)


@pytest.mark.parametrize("call", ["nvmlDeviceGetUtilizationRates", "nvmlInitWithFlags"])
def test_a_driver_that_hangs_makes_the_snapshot_stale_and_offers_no_gpu(scenario, watch, call):
    scenario.gpu()
    watched = watch(patience=0.1, declared=TPU)
    if call == "nvmlInitWithFlags":
        scenario.fail("nvmlDeviceGetCount_v2", UNKNOWN)  # it starts over, and hangs there
    else:
        watched.until(lambda now: now.at > 0 and not now.stale)
    scenario.hang(call)
    stale = watched.until(lambda now: now.stale)
    assert healths(stale)[-1] is Health.OK
    assert Health.OK not in healths(stale)[:-1]
    assert "has not answered for" in stale.alerts[0]
    assert Devices(stale.gpus).choose(Needs(gpus=1, device="h100")) is None
    if call == "nvmlInitWithFlags":
        scenario.heal("nvmlDeviceGetCount_v2")
    scenario.go_on()
    watched.until(lambda now: not now.stale and healths(now) == [Health.OK, Health.OK])


def test_closing_does_not_wait_for_a_driver_that_hangs(scenario, watch):
    scenario.gpu()
    watched = watch(patience=0.05)
    watched.first()
    scenario.hang("nvmlDeviceGetUUID")
    watched.until(lambda now: now.stale)
    watched.sensor.close(0.05)
    assert watched.sensor._thread.is_alive()


def test_a_listener_that_fails_does_not_end_the_looks(scenario, watch):
    scenario.gpu()
    looks = []

    def fail(snapshot):
        looks.append(snapshot)
        raise RuntimeError("the loop is closed")

    watched = watch(on_snapshot=fail)
    watched.until(lambda _: len(looks) > 2)


def test_an_owner_that_cannot_be_asked_is_a_defect_that_is_told_and_outlived(scenario, watch):
    uuid = scenario.gpu()
    scenario.process(uuid, 11, GIB)
    answers = {"fail": True}

    def tenant_of(pid):
        if answers["fail"]:
            raise ZeroDivisionError
        return "a"

    watched = watch(tenant_of=tenant_of)
    assert "a defect of this program" in watched.first().alerts[0]
    answers["fail"] = False
    watched.until(lambda now: now.gpus and now.gpus[0].processes[0].owner == "a")
