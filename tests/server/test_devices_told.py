"""Devices in the answer of get_node_load: short, and with what a model needs to decide."""

from mcp_scheduler.server.answers import _node
from mcp_scheduler.views import DeviceView, NodeView

GIB = 2**30


def told(**fields):
    device = DeviceView("gpu0", "GPU-1", "h100-80gb", fields.pop("health", "ok"), 80 * GIB, **fields)
    (found,) = _node(NodeView("local", {"cpus": 2.0}, {}, {}, 0, (device,)))["devices"]
    return found


def test_a_free_device_says_that_it_can_be_had_as_a_whole():
    assert told(free=80 * GIB, available=78 * GIB, whole=True) == {
        "name": "gpu0", "label": "h100-80gb", "total": "80.0GiB", "whole": True,
    }  # fmt: skip


def test_a_shared_device_says_who_has_it_and_what_is_left():
    found = told(free=70 * GIB, promised=20 * GIB, available=55 * GIB, tasks=("a-1", "b-1"), others=1)
    assert found["can_share"] == "55.0GiB"
    assert found["free_now"] == "70.0GiB"
    assert found["tasks"] == ["a-1", "b-1"]
    assert found["other_programs"] == 1


def test_a_device_that_is_not_offered_says_why():
    found = told(health="quarantined", why="The GPU needs a reset")
    assert found["not_offered"] == "quarantined: The GPU needs a reset"
    assert "whole" not in found


def test_a_node_with_many_devices_is_told_in_few_words():
    many = tuple(DeviceView(f"gpu{n}", f"GPU-{n}", "h100", "ok", GIB) for n in range(40))
    node = _node(NodeView("local", {}, {}, {}, 0, many))
    assert len(node["devices"]) == 16
    assert node["more_devices"] == 24


def test_the_weight_of_a_node_is_told_where_it_is_not_idle():
    assert _node(NodeView("local", {}, {}, {}, 0, weight=41.6))["weight"] == 42
    assert "weight" not in _node(NodeView("local", {}, {}, {}, 0, weight=97.0))
