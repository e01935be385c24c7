"""Which devices a task gets, and which never."""

import pytest

from mcp_scheduler.core.devices import Devices
from mcp_scheduler.core.seen import NVLINK, SAME_SOCKET, SAME_SWITCH, GpuProcess, GpuSeen, Health, Use, visibility
from mcp_scheduler.core.task import Needs
from mcp_scheduler.errors import InvariantBroken

GIB = 2**30
WHOLE = Needs(gpus=1)


def gpu(index, *, total=80 * GIB, used=0, name="NVIDIA H100 80GB HBM3", label="h100-80gb", **fields):
    fields.setdefault("uuid", f"GPU-{index:04d}")
    return GpuSeen(index=index, name=name, label=label, total=total, used=used, free=total - used, **fields)


def shared(gibs, gpus=1, device=""):
    return Needs(gpus=gpus, gpu_memory=int(gibs * GIB), device=device)


def test_a_task_without_gpus_fits_everywhere_and_gets_none():
    devices = Devices()
    assert devices.fits(Needs())
    assert devices.take("a", Needs()) == ()


def test_a_whole_gpu_is_given_to_one_task_only():
    devices = Devices([gpu(0), gpu(1)])
    assert devices.take("a", WHOLE) == ("GPU-0000",)
    assert devices.take("b", WHOLE) == ("GPU-0001",)
    assert not devices.fits(WHOLE)
    assert not devices.fits(shared(1))
    devices.give_back("a")
    assert devices.choose(WHOLE) == ("GPU-0000",)


def test_taking_what_does_not_fit_is_a_defect_and_says_why():
    devices = Devices([gpu(0)])
    devices.take("a.1", WHOLE)
    with pytest.raises(InvariantBroken, match=r"gpu0: held as a whole by a\.1"):
        devices.take("b.1", WHOLE)


def test_a_shared_gpu_is_not_given_as_a_whole():
    devices = Devices([gpu(0)])
    devices.take("a", shared(1))
    assert not devices.fits(WHOLE)
    assert devices.explain(WHOLE) == ["gpu0: shared by a"]


def test_another_programs_compute_process_blocks_a_whole_gpu():
    devices = Devices([gpu(0, used=GIB, processes=(GpuProcess(77, GIB),))])
    assert not devices.fits(WHOLE)
    assert devices.explain(WHOLE) == ["gpu0: other programs use 1.0 GiB of it (pids 77)"]
    assert devices.fits(shared(40))


def test_a_process_whose_owner_cannot_be_told_blocks_a_whole_gpu():
    assert not Devices([gpu(0, processes=(GpuProcess(77, None, owner=None),))]).fits(WHOLE)


def test_a_desktop_does_not_block_a_whole_gpu_however_much_it_draws_with():
    desktop = gpu(0, total=8 * GIB, used=2 * GIB, processes=(GpuProcess(1, 2 * GIB, Use.GRAPHICS),))
    assert Devices([desktop]).fits(WHOLE)
    assert Devices([gpu(0, total=8 * GIB, used=2 * GIB, processes=(GpuProcess(1, None, Use.GRAPHICS),))]).fits(WHOLE)


def test_a_gpu_with_a_desktop_is_taken_last():
    devices = Devices([gpu(0, processes=(GpuProcess(1, 0, Use.GRAPHICS),)), gpu(1)])
    assert devices.choose(WHOLE) == ("GPU-0001",)


def test_use_without_a_process_blocks_a_whole_gpu_from_a_tenth_on():
    assert Devices([gpu(0, used=8 * GIB)]).fits(WHOLE)
    assert not Devices([gpu(0, used=9 * GIB)]).fits(WHOLE)


def test_shared_memory_goes_where_the_least_is_left_over():
    devices = Devices([gpu(0), gpu(1, total=24 * GIB), gpu(2, total=12 * GIB)])
    assert devices.choose(shared(10)) == ("GPU-0002",)
    assert devices.choose(shared(20)) == ("GPU-0001",)
    assert devices.choose(shared(60)) == ("GPU-0000",)
    assert devices.choose(shared(80)) is None


def test_shared_memory_on_several_gpus_is_all_or_nothing():
    devices = Devices([gpu(0), gpu(1, total=24 * GIB), gpu(2, total=12 * GIB)])
    assert devices.take("a", shared(20, gpus=2)) == ("GPU-0001", "GPU-0000")
    assert devices.choose(shared(20, gpus=2)) is None
    assert devices.choose(shared(8, gpus=2)) == ("GPU-0002", "GPU-0000")


def test_gpu_memory_alone_means_one_gpu():
    assert Devices([gpu(0)]).choose(Needs(gpu_memory=GIB)) == ("GPU-0000",)


@pytest.mark.parametrize(
    ("wish", "found"),
    [
        ("", "GPU-0000"),
        ("h100", "GPU-0000"),
        ("H100-80GB", "GPU-0000"),
        ("rtx", "GPU-0001"),
        ("gpu1", "GPU-0001"),
        ("GPU-0001", "GPU-0001"),
        ("gpu2", None),
        ("gpu", "GPU-0000"),
        ("a100", None),
    ],
)
def test_the_device_field_means_an_index_a_uuid_or_a_class(wish, found):
    devices = Devices([gpu(0, label="h100-80gb-gpu"), gpu(1, name="NVIDIA GeForce RTX 3090", label="rtx-3090-24gb")])
    assert devices.choose(Needs(gpus=1, device=wish)) == (found and (found,))


def test_gpu1_is_not_gpu10():
    devices = Devices([gpu(10)])
    assert devices.choose(Needs(gpus=1, device="gpu1")) is None


def test_an_unhealthy_device_is_never_offered_and_says_why():
    for health in set(Health) - {Health.OK}:
        devices = Devices([gpu(0, health=health, why="Xid 79.")])
        assert not devices.fits(WHOLE)
        assert not devices.fits(shared(1))
        assert devices.could_ever_fit(WHOLE)
        assert devices.explain(WHOLE) == [f"gpu0: {health}. Xid 79"]


def test_a_withheld_device_is_offered_again_when_every_cause_is_over():
    devices = Devices([gpu(0)])
    devices.withhold("GPU-0000", "drain", "drained until 18:00")
    devices.withhold("GPU-0000", "lock", "another engine has it")
    assert devices.explain(WHOLE) == ["gpu0: drained until 18:00; another engine has it"]
    devices.release("GPU-0000", "drain")
    assert not devices.fits(WHOLE)
    devices.release("GPU-0000", "lock")
    assert devices.fits(WHOLE)


def test_a_device_that_vanishes_keeps_its_promises_and_is_not_offered():
    devices = Devices([gpu(0), gpu(1)])
    devices.take("a", shared(1))
    devices.observe([gpu(1)])
    assert devices.states["GPU-0000"].seen.health is Health.LOST
    assert devices.choose(shared(1)) == ("GPU-0001",)
    devices.give_back("a")
    devices.observe([gpu(1)])
    assert "GPU-0000" not in devices.states


def test_work_on_a_lost_or_broken_device_is_stranded_and_on_a_silent_one_it_is_not():
    for health in Health:
        devices = Devices([gpu(0), gpu(1)])
        devices.take("a", WHOLE)
        devices.take("b", WHOLE)
        devices.observe([gpu(0, health=health, why="Xid 79"), gpu(1)])
        told = [("a", "GPU-0000", "Xid 79")] if health in (Health.LOST, Health.QUARANTINED) else []
        assert list(devices.stranded()) == told


def test_adopted_work_on_a_device_that_was_not_seen_yet_is_not_stranded():
    devices = Devices()
    devices.seize("a", WHOLE, ["GPU-0000"])
    assert list(devices.stranded()) == []
    devices.observe([])  # as after a look that failed
    assert list(devices.stranded()) == []
    assert devices.tenants("GPU-0000") == ("a",)
    devices.observe([gpu(0)])
    devices.observe([])
    assert list(devices.stranded()) == [("a", "GPU-0000", "The device is not there any more.")]


def test_adopted_work_holds_its_device_before_anything_was_seen():
    devices = Devices()
    devices.seize("a", WHOLE, ["GPU-0000"])
    devices.observe([gpu(0), gpu(1)])
    assert devices.choose(Needs(gpus=2)) is None
    assert devices.choose(shared(1)) == ("GPU-0001",)
    devices.give_back("a")
    assert devices.choose(Needs(gpus=2)) == ("GPU-0000", "GPU-0001")


def test_a_gang_gets_the_best_linked_gpus():
    def linked(index, *pairs):
        return gpu(index, links=tuple((f"GPU-{other:04d}", rank) for other, rank in pairs))

    seen = [
        linked(0, (1, SAME_SOCKET), (2, NVLINK + 4)),
        linked(1, (3, NVLINK + 2)),
        linked(2, (3, SAME_SWITCH)),
        linked(3),
    ]
    devices = Devices(seen)
    assert devices.choose(Needs(gpus=2)) == ("GPU-0000", "GPU-0002")
    devices.withhold("GPU-0000", "drain", "drained")
    assert devices.choose(Needs(gpus=2)) == ("GPU-0001", "GPU-0003")
    assert devices.choose(Needs(gpus=4)) is None
    devices.release("GPU-0000", "drain")
    assert devices.choose(Needs(gpus=4)) == ("GPU-0000", "GPU-0001", "GPU-0002", "GPU-0003")


def test_a_mig_instance_is_a_device_but_never_part_of_a_gang():
    parts = [gpu(0, uuid=f"MIG-{i}", total=10 * GIB, parent="GPU-0000", instance=i) for i in range(2)]
    devices = Devices(parts)
    assert devices.choose(Needs(gpus=1, device="gpu0:1")) == ("MIG-1",)
    assert devices.choose(Needs(gpus=1, device="GPU-0000")) == ("MIG-0",)
    assert devices.choose(Needs(gpus=2)) is None
    assert not devices.could_ever_fit(Needs(gpus=2))


def test_a_declared_accelerator_is_whole_until_it_is_taken_and_its_memory_is_counted():
    tpu = GpuSeen("tpu0", 0, "tpu-v5e", "tpu-v5e", 16 * GIB, live=False, variable="TPU_VISIBLE_CHIPS", value="0")
    devices = Devices([tpu, gpu(0)])
    assert devices.choose(WHOLE) == ("GPU-0000",)
    assert devices.choose(Needs(gpus=1, device="tpu")) == ("tpu0",)
    assert devices.take("a", shared(12, device="tpu")) == ("tpu0",)
    assert not devices.fits(shared(5, device="tpu"))
    assert devices.fits(shared(4, device="tpu"))
    assert Devices([tpu]).choose(WHOLE) == ("tpu0",)


def test_a_gpu_whose_memory_is_unknown_is_given_as_a_whole_but_not_shared():
    devices = Devices([GpuSeen("GPU-0000", 0, "NVIDIA X", "x", None)])
    assert devices.fits(WHOLE)
    assert not devices.fits(shared(1))
    assert not devices.could_ever_fit(shared(1))


def test_a_waiting_task_keeps_the_free_gpus_it_needs():
    devices = Devices([gpu(0), gpu(1), gpu(2)])
    devices.take("a", WHOLE)
    devices.take("b", WHOLE)
    kept = devices.to_keep(Needs(gpus=2))
    assert kept == {"GPU-0002", "GPU-0000"}
    assert not devices.fits(WHOLE, kept)
    with pytest.raises(InvariantBroken):
        devices.take("c", WHOLE, kept)
    assert devices.to_keep(Needs(gpus=4)) == frozenset()


def test_what_ended_processes_held_is_free_at_once_and_not_only_at_the_next_look():
    devices = Devices([gpu(0)])
    devices.take("a", WHOLE)
    devices.observe([gpu(0, used=60 * GIB, processes=(GpuProcess(5, 60 * GIB, owner="a"),))])
    devices.give_back("a", gone=True)
    assert devices.fits(WHOLE)
    assert devices.fits(shared(60))
    devices.observe([gpu(0, used=60 * GIB, processes=(GpuProcess(5, 60 * GIB, owner="a"),))])
    assert not devices.fits(WHOLE)  # it lives after all


def test_a_warm_worker_keeps_what_it_uses_and_no_more():
    devices = Devices([gpu(0)])
    devices.take("w", WHOLE)
    devices.observe([gpu(0, used=20 * GIB, processes=(GpuProcess(5, 20 * GIB, owner="w"),))])
    devices.rest("w")
    assert devices.fits(shared(50))
    assert not devices.fits(shared(60))
    assert not devices.fits(WHOLE)


def test_a_warm_worker_is_named_for_eviction_where_that_helps():
    devices = Devices([gpu(0)])
    devices.take("w", WHOLE)
    devices.observe([gpu(0, used=20 * GIB, processes=(GpuProcess(5, 20 * GIB, owner="w"),))])
    devices.rest("w")
    assert devices.to_evict(WHOLE) == ("w",)
    assert devices.to_evict(shared(70)) == ("w",)
    assert devices.to_evict(shared(10)) == ()
    assert devices.to_evict(shared(90)) == ()
    devices.give_back("w", gone=True)
    assert devices.fits(WHOLE)


def test_a_warm_worker_takes_another_call_on_its_device_if_there_is_room():
    devices = Devices([gpu(0)])
    devices.take("w", WHOLE)
    devices.observe([gpu(0, used=20 * GIB, processes=(GpuProcess(5, 20 * GIB, owner="w"),))])
    devices.rest("w")
    assert devices.rise("w", WHOLE)
    assert not devices.fits(shared(1))
    devices.rest("w")
    devices.take("x", shared(30))
    assert not devices.rise("w", WHOLE)
    assert devices.rise("w", shared(40))
    assert not devices.fits(shared(20))


def test_a_program_is_shown_its_devices_by_uuid_and_a_cpu_task_none():
    tpu = GpuSeen("tpu0", 0, "tpu", "tpu", None, live=False, variable="TPU_VISIBLE_CHIPS", value="3")
    assert visibility([]) == {"CUDA_VISIBLE_DEVICES": "", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert visibility([gpu(0), gpu(1)])["CUDA_VISIBLE_DEVICES"] == "GPU-0000,GPU-0001"
    assert visibility([tpu])["TPU_VISIBLE_CHIPS"] == "3"
    assert visibility([tpu])["CUDA_VISIBLE_DEVICES"] == ""
