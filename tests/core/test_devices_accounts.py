"""What of a device's memory can be promised: the cases that others get wrong."""

from mcp_scheduler.core.accounts import HEADROOM, account, headroom
from mcp_scheduler.core.devices import Devices
from mcp_scheduler.core.peaks import Peaks
from mcp_scheduler.core.seen import GpuProcess, GpuSeen
from mcp_scheduler.core.task import Needs

GIB = 2**30
TOTAL = 24 * GIB


def seen(used, *processes, reserved=0, listed=True):
    free = TOTAL - used - reserved
    return GpuSeen("GPU-0", 0, "NVIDIA X", "x-24gb", TOTAL, used, free, processes=processes, listed=listed)


def ours(amount, owner="a"):
    return GpuProcess(10, amount, owner=owner)


def test_headroom_is_two_percent_and_at_least_half_a_gib():
    assert headroom(TOTAL) == HEADROOM
    assert headroom(80 * GIB) == int(1.6 * GIB)


def test_an_empty_device_is_free_but_for_the_headroom():
    assert account(seen(0), {}).free == TOTAL - HEADROOM


def test_what_the_driver_reserves_is_not_there():
    assert account(seen(0, reserved=GIB), {}).free == TOTAL - GIB - HEADROOM


def test_a_promise_counts_before_anything_is_allocated():
    assert account(seen(0), {"a": 10 * GIB}).free == 14 * GIB - HEADROOM


def test_a_promise_does_not_count_twice_once_it_is_allocated():
    for allocated in (1, 5, 10):
        assert account(seen(allocated * GIB, ours(allocated * GIB)), {"a": 10 * GIB}).free == 14 * GIB - HEADROOM


def test_a_tenant_that_uses_more_than_promised_counts_with_what_it_uses():
    assert account(seen(12 * GIB, ours(12 * GIB)), {"a": 10 * GIB}).free == 12 * GIB - HEADROOM


def test_other_programs_count_beside_our_promises():
    account_ = account(seen(8 * GIB, ours(3 * GIB), GpuProcess(99, 5 * GIB)), {"a": 10 * GIB})
    assert account_.foreign == 5 * GIB
    assert account_.free == 9 * GIB - HEADROOM


def test_a_process_of_a_tenant_that_holds_nothing_any_more_counts_as_foreign():
    assert account(seen(5 * GIB, ours(5 * GIB, owner="old")), {"a": 10 * GIB}).free == 9 * GIB - HEADROOM


def test_children_of_a_worker_count_together():
    both = seen(7 * GIB, ours(3 * GIB), GpuProcess(11, 4 * GIB, owner="a"))
    assert account(both, {"a": 10 * GIB}).allocated == {"a": 7 * GIB}


def test_use_that_nobody_explains_is_foreign_where_every_process_is_told_apart():
    assert account(seen(5 * GIB, ours(3 * GIB)), {"a": 10 * GIB}).foreign == 2 * GIB


def test_use_that_may_be_ours_is_not_counted_as_foreign_and_as_promised():
    for hidden in (
        seen(6 * GIB, GpuProcess(4711, 6 * GIB, owner=None)),  # a container sees pids of the host
        seen(6 * GIB, ours(None)),  # the driver says N/A
        seen(6 * GIB, listed=False),  # the driver does not list processes
    ):
        told = account(hidden, {"a": 10 * GIB})
        assert told.foreign == 0
        assert told.free == 14 * GIB - HEADROOM


def test_hidden_use_beyond_our_promises_is_foreign():
    told = account(seen(13 * GIB, GpuProcess(4711, 13 * GIB, owner=None)), {"a": 10 * GIB})
    assert told.foreign == 3 * GIB
    assert told.free == 11 * GIB - HEADROOM


def test_hidden_use_that_was_there_before_our_first_tenant_stays_foreign():
    devices = Devices([seen(4 * GIB, GpuProcess(4711, 4 * GIB, owner=None))])
    devices.take("a", Needs(gpus=1, gpu_memory=10 * GIB))
    devices.observe([seen(7 * GIB, GpuProcess(4711, 4 * GIB, owner=None), GpuProcess(4712, 3 * GIB, owner=None))])
    assert devices.states["GPU-0"].account.foreign == 4 * GIB
    devices.observe([seen(3 * GIB, GpuProcess(4712, 3 * GIB, owner=None))])
    assert devices.states["GPU-0"].account.foreign == 3 * GIB  # who was there first may have left: we cannot tell
    devices.give_back("a")
    devices.observe([seen(0)])
    devices.take("b", Needs(gpus=1, gpu_memory=10 * GIB))
    devices.observe([seen(3 * GIB, GpuProcess(4713, 3 * GIB, owner=None))])
    assert devices.states["GPU-0"].account.foreign == 0


def test_a_foreign_process_of_unknown_size_is_still_foreign():
    assert account(seen(6 * GIB, ours(2 * GIB), GpuProcess(99, None)), {"a": 10 * GIB}).foreign == 4 * GIB


def test_each_tenants_context_is_reserved_beside_what_it_asks_for():
    devices = Devices([seen(0)])
    devices.take("a", Needs(gpus=1, gpu_memory=10 * GIB))
    assert devices.states["GPU-0"].promises == {"a": 10 * GIB + 512 * 2**20}


def test_peaks_remember_the_most_that_was_seen_on_one_device():
    devices, peaks = Devices([seen(0)]), Peaks()
    devices.take("a", Needs(gpus=1, gpu_memory=10 * GIB))
    for used in (2, 9, 4):
        devices.observe([seen(used * GIB, ours(used * GIB))])
        peaks.note(devices.uses())
    assert peaks.of("a") == 9 * GIB
    assert peaks.end("a") == 9 * GIB
    assert peaks.of("a") is None


def test_the_peak_of_a_lone_tenant_that_cannot_be_told_apart_is_what_came_to_the_device():
    devices, peaks = Devices([seen(GIB, listed=False)]), Peaks()
    devices.take("a", Needs(gpus=1, gpu_memory=10 * GIB))
    devices.observe([seen(6 * GIB, listed=False)])
    peaks.note(devices.uses())
    assert peaks.of("a") == 5 * GIB
