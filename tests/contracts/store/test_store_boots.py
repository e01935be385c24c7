"""What the next engine finds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from store_parts import OTHER_TERMS, TERMS, Place, added, ended, finish, look, moved, new, started

from mcp_scheduler.core.changes import Changes
from mcp_scheduler.core.events import Ended, Outcome
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Attempt
from mcp_scheduler.core.states import State
from mcp_scheduler.ports import Pruned

pytestmark = pytest.mark.anyio


async def test_an_empty_place_starts_clean_with_number_one(place: Place) -> None:
    _, boot = await place.open()
    assert (boot.tasks, boot.attempts, boot.next_seq, boot.clean) == ([], [], 1, True)


async def test_a_close_is_clean_and_a_crash_is_not(place: Place) -> None:
    store, _ = await place.open()
    await store.close()
    store, boot = await place.open()
    assert boot.clean
    await store.commit(added(new("a")))
    _, boot = await place.open()
    assert not boot.clean


async def test_everything_unfinished_is_there_in_order_of_arrival(place: Place) -> None:
    store, _ = await place.open()
    tasks = [new("late", seq=9), new("early", seq=3, terms=OTHER_TERMS, after=("late",)), new("over", seq=4)]
    await store.commit(added(*tasks))
    await finish(store, "over")
    _, boot = await place.open()
    assert [look(task) for task in boot.tasks] == [look(tasks[1].task), look(tasks[0].task)]
    assert boot.next_seq == 10


async def test_equal_terms_are_one_object(place: Place) -> None:
    store, _ = await place.open()
    await store.commit(added(new("a"), new("b", terms=replace(TERMS)), new("c", terms=OTHER_TERMS)))
    await store.close()
    store, boot = await place.open()
    a, b, c = boot.tasks
    assert a.terms == b.terms
    assert a.terms is b.terms or a.terms is not c.terms
    assert c.terms == OTHER_TERMS


async def test_open_attempts_are_told_and_closed_ones_are_not(place: Place) -> None:
    store, _ = await place.open()
    await store.commit(added(*map(new, "abc")))
    attempt = Attempt(AttemptId("a", 1), "b.1", "local", 21.0, ("GPU-1", "GPU-2"))
    await store.commit(replace(started("a"), started=[attempt]))
    await finish(store, "b")
    await store.commit(started("c"))
    await store.commit(Changes(returned=[AttemptId("c", 1)], statuses=moved("c", State.QUEUED, 25.0, 1).statuses))
    _, boot = await place.open()
    assert boot.attempts == [attempt]


async def test_an_attempt_that_outlives_its_task_is_told_with_it(place: Place) -> None:
    store, _ = await place.open()
    await store.commit(added(new("a")))
    await store.commit(started("a"))
    second = Attempt(AttemptId("a", 2), "a.2", "local", 22.0)
    await store.commit(Changes(started=[second], statuses=moved("a", State.RUNNING, 22.0, 2).statuses))
    await store.commit(Changes(ended=[Ended(AttemptId("a", 1), 23.0, Outcome())],
                               statuses=moved("a", State.SUCCEEDED, 23.0, 2).statuses))  # fmt: skip
    _, boot = await place.open()
    assert ([task.id for task in boot.tasks], boot.attempts) == (["a"], [second])
    assert boot.tasks[0].status.state is State.SUCCEEDED


async def test_a_number_is_never_given_twice(place: Place) -> None:
    store, _ = await place.open()
    await store.commit(added(new("a", seq=41)))
    await finish(store, "a")
    await store.prune(ended_before=100.0, keep=0)
    await store.close()
    _, boot = await place.open()
    assert boot.next_seq == 42


async def test_what_was_pruned_is_known_until_its_files_are_gone_too(place: Place) -> None:
    store, _ = await place.open()
    await store.commit(added(new("a"), new("b"), new("c")))
    for name in ("a", "b", "c"):
        await finish(store, name, result_file=name * 64, result_size=9)
    assert await store.pruned() == Pruned()
    await store.prune(ended_before=100.0, keep=0, limit=2)
    await store.prune(ended_before=100.0, keep=0, limit=2)
    store, _ = await place.open()  # as after a crash
    assert await store.pruned() == Pruned(("a", "b", "c"), ("a" * 64, "b" * 64, "c" * 64))
    await store.forget_pruned()
    assert await store.pruned() == Pruned()


async def test_the_end_of_a_task_is_there_after_a_crash(place: Place) -> None:
    store, _ = await place.open()
    await store.commit(added(new("a")))
    await store.commit(started("a"))
    await store.commit(ended("a", result=b"[1]"))
    store, boot = await place.open()
    assert boot.tasks == []
    assert (await store.tasks(["a"]))["a"].status.state is State.SUCCEEDED
    assert (await store.results(["a"]))["a"].inline == b"[1]"
