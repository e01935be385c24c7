"""A list is answered from memory only as far as memory is sure to have everything, in its order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Status, Task
from mcp_scheduler.policies.order import FIFO
from tests.core.builders import terms


def ended(seq: int) -> Task:
    return Task(f"t{seq}", seq, terms(), 0.0, Status(State.SUCCEEDED, 0.0))


steps = st.lists(st.tuples(st.sampled_from(["comes", "comes", "comes", "overtaken", "pruned"]), st.integers(0, 50)))


@given(steps, st.integers(0, 5))
def test_what_memory_tells_is_a_whole_and_ordered_beginning_of_what_there_is(
    walk: list[tuple[str, int]], stored: int
) -> None:
    cluster = Cluster(FIFO)
    everything = {seq: ended(seq) for seq in range(1, stored + 1)}  # of before: only the store knows them
    cluster.load([], [], next_seq=stored + 1)
    waiting: list[Task] = []
    for number, (step, pick) in enumerate(walk):
        seq = stored + 1 + number
        if step == "pruned" and cluster.tasks:
            name = list(cluster.tasks)[pick % len(cluster.tasks)]
            cluster._forget(cluster.tasks[name])  # pyright: ignore[reportPrivateUsage]
        elif step == "overtaken":
            waiting.append(ended(seq))  # it has its number, and comes in after others
        else:
            for task in [ended(seq), *waiting]:
                everything[task.seq] = task
                cluster._admit(task)  # pyright: ignore[reportPrivateUsage]
            waiting.clear()
    told = [task.seq for task in cluster.newest_first()]
    assert told == sorted(everything, reverse=True)[: len(told)]


def test_tasks_that_come_in_their_order_are_all_told() -> None:
    cluster = Cluster(FIFO)
    cluster.load([], [], next_seq=7)
    for seq in range(7, 12):
        cluster._admit(ended(seq))  # pyright: ignore[reportPrivateUsage]
    assert [task.seq for task in cluster.newest_first()] == [11, 10, 9, 8, 7]
