"""Labels, declared devices."""

import pytest

from mcp_scheduler.errors import InvalidRequest
from mcp_scheduler.telemetry.declared import declared
from mcp_scheduler.telemetry.labels import is_unified, label

MIB = 2**20
ROW = {"id": "mi300-0", "label": "mi300x", "memory": 192 * 2**30, "variable": "HIP_VISIBLE_DEVICES", "value": 0}


@pytest.mark.parametrize(
    ("name", "mebibytes", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", 81559, "h100-80gb"),
        ("NVIDIA H100 NVL", 95830, "h100-94gb"),
        ("NVIDIA H200", 143771, "h200-141gb"),
        ("NVIDIA A100-SXM4-40GB", 40960, "a100-40gb"),
        ("NVIDIA A100 80GB PCIe", 81920, "a100-80gb"),
        ("Tesla V100-SXM2-16GB", 16160, "v100-16gb"),
        ("Tesla T4", 15360, "t4-16gb"),
        ("NVIDIA L4", 23034, "l4-24gb"),
        ("NVIDIA L40S", 46068, "l40s-48gb"),
        ("NVIDIA GeForce RTX 3090", 24576, "rtx-3090-24gb"),
        ("NVIDIA GeForce RTX 4070 Laptop GPU", 8188, "rtx-4070-8gb"),
        ("NVIDIA RTX 6000 Ada Generation", 49140, "rtx-6000-ada-48gb"),
        ("NVIDIA GB10", 122570, "gb10"),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", 4864, "a100-mig-1g-5gb"),
        ("NVIDIA Future 9", 1000 * 1024, "future-9-1000gb"),
        ("NVIDIA H100 80GB HBM3", None, "h100"),
        ("NVIDIA Graphics", None, "gpu"),
    ],
)
def test_a_label_is_what_people_say(name, mebibytes, expected):
    assert label(name, mebibytes and mebibytes * MIB) == expected


def test_unified_memory_is_told_by_the_name_alone():
    assert is_unified("NVIDIA GB10")
    assert is_unified("NVIDIA Jetson AGX Orin")
    assert not is_unified("NVIDIA GB100")
    assert not is_unified("NVIDIA GeForce RTX 3090")


def test_a_declared_device_has_its_variable_and_value():
    (device,) = declared([ROW])
    assert (device.uuid, device.short, device.total) == ("mi300-0", "mi300-0", 192 * 2**30)
    assert (device.variable, device.value, device.live) == ("HIP_VISIBLE_DEVICES", "0", False)
    assert device.power_limit is None
    assert declared([{**ROW, "watts": 62.5}])[0].power_limit == 62_500


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": ""}, "Declared device 1 needs a text 'id'"),
        ({"variable": None}, "needs a text 'variable'"),
        ({"memory": "80GB"}, "number of bytes"),
        ({"memory": -1}, "number of bytes"),
        ({"watts": 0}, "a number above 0"),
        ({"watts": "300 W"}, "a number above 0"),
        ({"vram": 1}, "has no field 'vram'"),
    ],
)
def test_a_declared_device_that_is_wrong_is_refused_in_words(change, words):
    with pytest.raises(InvalidRequest, match=words):
        declared([{**ROW, **change}])


def test_two_declared_devices_of_one_id_are_refused():
    with pytest.raises(InvalidRequest, match="Two declared devices have the id 'mi300-0'"):
        declared([ROW, ROW])
