"""An attempt that had too little memory is repeated with more, then with everything, where repeating is allowed."""

from dataclasses import replace

from mcp_scheduler.core.check import check
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.events import DevicesSeen, Ended, Outcome
from mcp_scheduler.core.node import LOCAL, Node
from mcp_scheduler.core.seen import GpuProcess, GpuSeen
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.core.task import Needs, Retry
from mcp_scheduler.policies.order import PRIORITY
from tests.core.builders import Stage, needs, terms

GIB = 2**30
TWICE = Retry(max_attempts=2, delay=1.0, jitter=0.0)
CPU = (("cpus", 1000),)


def lacked(stage, name, *, peak=0, error="MemoryError"):
    return stage.turn(
        Ended(stage.attempt(name), stage.now, Outcome(Reason.OUT_OF_MEMORY, error, seconds=9.0, memory_peak=peak))
    )


def claim(stage, name):
    return dict(stage.task(name).terms.needs.amounts).get("memory", 0)


def test_the_next_attempt_claims_half_as_much_again_and_the_one_after_it_all_there_is():
    stage = Stage(2, memory=8 * GIB)
    stage.submit("a", terms(needs=needs(1, memory=2 * GIB), retry=TWICE))
    lacked(stage, "a", peak=2 * GIB)
    assert (stage.state("a"), claim(stage, "a")) == (State.RETRYING, 3 * GIB)
    stage.wait(1)
    lacked(stage, "a")
    stage.wait(10)
    assert (stage.state("a"), claim(stage, "a")) == (State.RUNNING, 8 * GIB)
    assert (stage.status("a").failures, stage.status("a").memory_retries) == (0, 2)


def test_an_observed_peak_counts_for_more_than_a_small_claim():
    stage = Stage(2, memory=8 * GIB)
    stage.submit("a", terms(needs=needs(1, memory=GIB), retry=TWICE))
    lacked(stage, "a", peak=5 * GIB)
    assert claim(stage, "a") == 6 * GIB


def test_where_there_is_no_more_memory_it_is_an_ordinary_failure():
    stage = Stage(2, memory=8 * GIB)
    named = replace(TWICE, on=frozenset({Reason.OUT_OF_MEMORY}))
    stage.submit("a", terms(needs=needs(1, memory=8 * GIB), retry=named))
    lacked(stage, "a")
    assert (stage.status("a").failures, stage.status("a").memory_retries) == (1, 0)
    stage.wait(10)
    lacked(stage, "a")
    assert (stage.state("a"), stage.status("a").reason) == (State.FAILED, Reason.OUT_OF_MEMORY)


def test_nothing_is_repeated_that_was_not_allowed():
    stage = Stage(2, memory=8 * GIB)
    stage.submit("once", terms(needs=needs(1, memory=GIB)))
    stage.submit("lost", terms(needs=needs(1, memory=GIB), retry=replace(TWICE, on=frozenset({Reason.LOST}))))
    lacked(stage, "once")
    lacked(stage, "lost")
    assert stage.states("once lost") == [State.FAILED, State.FAILED]


def test_two_memory_retries_leave_the_ordinary_ones_as_they_were():
    stage = Stage(2, memory=8 * GIB)
    stage.submit("a", terms(needs=needs(1, memory=GIB), retry=TWICE))
    for _ in range(2):
        lacked(stage, "a")
        stage.wait(60)
    stage.end("a", Reason.ERROR)
    assert (stage.state("a"), stage.status("a").failures) == (State.RETRYING, 1)
    stage.wait(60)
    stage.end("a", Reason.ERROR)
    assert stage.state("a") is State.FAILED


def test_a_larger_claim_waits_for_room_and_is_given_back_whole():
    stage = Stage(4, memory=8 * GIB)
    stage.submit("big", terms("module.big", needs=needs(1, memory=4 * GIB)))
    stage.submit("a", terms(needs=needs(1, memory=3 * GIB), retry=TWICE))
    lacked(stage, "a")
    stage.wait(60)
    assert stage.state("a") is State.QUEUED  # 4.5 of 8 GiB while 4 are taken
    stage.end("big")
    assert stage.state("a") is State.RUNNING
    stage.end("a")
    assert stage.cluster.rooms[LOCAL].free["memory"] == 8 * GIB


def test_a_claim_that_could_not_be_committed_has_not_been_made():
    stage = Stage(2, memory=8 * GIB)
    stage.submit("a", terms(needs=needs(1, memory=2 * GIB), retry=TWICE))
    stage.fail_commit(Ended(stage.attempt("a"), stage.now, Outcome(Reason.OUT_OF_MEMORY, "MemoryError")))
    assert (stage.state("a"), claim(stage, "a")) == (State.RUNNING, 2 * GIB)


def test_a_claim_outlives_the_engine():
    stage = Stage(2, memory=8 * GIB)
    stage.submit("a", terms(needs=needs(1, memory=2 * GIB), retry=TWICE))
    lacked(stage, "a")
    heir = Cluster(PRIORITY)
    heir.load(list(stage.cluster.tasks.values()), [])
    heir.set_node(Node(LOCAL, needs(2, memory=8 * GIB).amounts))
    heir.rebuild()
    check(heir)
    assert dict(heir.tasks["a"].terms.needs.amounts)["memory"] == 3 * GIB


def card(used=0, owner=None):
    processes = (GpuProcess(7, used, owner=owner),) if owner else ()
    return GpuSeen("GPU-0", 0, "RTX", "rtx-24gb", 24 * GIB, used=used, free=24 * GIB - used, processes=processes)


def test_a_share_of_a_device_grows_by_its_peak_and_then_takes_the_device():
    stage = Stage(4)
    stage.turn(DevicesSeen(LOCAL, (card(),)))
    stage.submit("a", terms(needs=Needs(CPU, 1, 4 * GIB), retry=TWICE))
    slot = stage.cluster.attempts[stage.attempt("a")].slot
    stage.turn(DevicesSeen(LOCAL, (card(9 * GIB, slot),)))
    stage.turn(DevicesSeen(LOCAL, (card(2 * GIB, slot),)))
    decision = lacked(stage, "a", error="torch.OutOfMemoryError: CUDA out of memory.")
    assert decision.changes.ended[0].outcome.device_peak == 9 * GIB
    grown = stage.task("a").terms.needs
    assert 1.2 * 8.5 * GIB <= grown.gpu_memory <= 1.2 * 8.5 * GIB + 2**20  # its context of 0.5 GiB is not claimed twice
    stage.turn(DevicesSeen(LOCAL, (card(),)))
    stage.wait(60)
    lacked(stage, "a", error="CUDA out of memory. Tried to allocate 3.00 GiB")
    assert (stage.task("a").terms.needs.gpus, stage.task("a").terms.needs.gpu_memory) == (1, 0)


def test_what_the_message_names_is_added_to_what_was_in_use():
    stage = Stage(4)
    stage.turn(DevicesSeen(LOCAL, (card(),)))
    stage.submit("a", terms(needs=Needs(CPU, 1, 2 * GIB), retry=TWICE))
    lacked(stage, "a", error="CUDA out of memory. Tried to allocate 12.00 GiB. GPU 0 has …")
    assert stage.task("a").terms.needs.gpu_memory == 12 * GIB


def test_a_whole_device_cannot_grow():
    stage = Stage(4)
    stage.turn(DevicesSeen(LOCAL, (card(),)))
    stage.submit("a", terms(needs=Needs(CPU, 1), retry=TWICE))
    lacked(stage, "a", error="CUDA out of memory.")
    assert stage.state("a") is State.FAILED
