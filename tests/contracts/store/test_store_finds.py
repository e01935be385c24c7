"""What can be listed, and what is forgotten."""

from __future__ import annotations

from dataclasses import replace

import pytest
from store_parts import TERMS, added, finish, moved, new, started

from mcp_scheduler.core.changes import Changes, Remembered
from mcp_scheduler.core.events import Group, Origin
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.core.task import Status
from mcp_scheduler.errors import InvariantBroken
from mcp_scheduler.ports import Pruned, Result, Store, TaskQuery

pytestmark = pytest.mark.anyio


async def names(store: Store, query: TaskQuery) -> list[str]:
    return [task.id for task in await store.find(query)]


async def test_a_listing_is_newest_first_and_can_be_paged(store: Store) -> None:
    await store.commit(added(*(new(f"t{i}", seq=i) for i in range(1, 8))))
    assert await names(store, TaskQuery(limit=3)) == ["t7", "t6", "t5"]
    assert await names(store, TaskQuery(limit=3, before_seq=5)) == ["t4", "t3", "t2"]


async def test_each_filter_filters_and_all_together(store: Store) -> None:
    other = replace(TERMS, principal="person")
    await store.commit(
        added(
            new("a-1", name="Train One", tags=("x", "y"), group="g"),
            new("b-2", name="eval", tags=("y",), group="g", terms=other),
            new("c-3", name="TRAIN two", terms=other),
            new("d-4", name="100%_done"),
        )
    )
    await store.commit(moved("b-2", State.HELD, 11.0))
    await finish(store, "c-3")
    assert await names(store, TaskQuery(tag="y")) == ["b-2", "a-1"]
    assert await names(store, TaskQuery(group="g", principal="agent")) == ["a-1"]
    assert await names(store, TaskQuery(principal="person")) == ["c-3", "b-2"]
    assert await names(store, TaskQuery(name="train")) == ["c-3", "a-1"]
    assert await names(store, TaskQuery(name="B-2")) == ["b-2"]
    assert await names(store, TaskQuery(name="%_")) == ["d-4"]
    assert await names(store, TaskQuery(states=frozenset({State.HELD, State.SUCCEEDED}))) == ["c-3", "b-2"]
    assert await names(store, TaskQuery(states=frozenset({State.QUEUED}), tag="x", name="one")) == ["a-1"]
    assert await names(store, TaskQuery(tag="nothing")) == []
    assert await store.counts() == {State.QUEUED: 2, State.HELD: 1, State.SUCCEEDED: 1}


async def test_the_old_and_the_too_many_are_forgotten_oldest_first(store: Store) -> None:
    await store.commit(added(*(new(f"t{i}") for i in range(8))))
    for i in range(7):
        await finish(store, f"t{i}", at=100.0 + i)
    assert await store.prune(ended_before=102.0, keep=100) == Pruned(("t0", "t1"))
    assert await store.prune(ended_before=0.0, keep=2, limit=2) == Pruned(("t2", "t3"))
    assert await store.prune(ended_before=0.0, keep=2, limit=2) == Pruned(("t4",))
    assert await store.prune(ended_before=0.0, keep=2, limit=2) == Pruned()
    assert await names(store, TaskQuery()) == ["t7", "t6", "t5"]


async def test_equal_calls_are_found_by_their_digest_and_the_code_that_ran(store: Store) -> None:
    await store.commit(added(*(new(name, digest="d") for name in ("a", "b", "c", "failed")), new("open", digest="e")))
    await finish(store, "a", fingerprint="now")
    await finish(store, "b", fingerprint="now")
    await finish(store, "c", fingerprint="before")
    await finish(store, "failed", fingerprint="now", reason=Reason.ERROR)
    assert await store.equal({"d": "now", "e": "now"}) == {"d": "b"}
    assert await store.equal({"d": "later"}) == {}
    assert await store.equal({"": ""}) == {}


async def test_a_task_comes_in_with_the_result_of_another(store: Store) -> None:
    await store.commit(added(new("a"), new("b")))
    await finish(store, "a", result_file="f" * 64, result_size=9)
    later = new("later", status=Status(State.SUCCEEDED, 40.0))
    later.result_of = "a"
    await store.commit(added(later))
    assert await store.results(["later"]) == {"later": Result(None, "f" * 64, 9)}
    orphan = new("orphan", status=Status(State.SUCCEEDED, 40.0))
    orphan.result_of = "b"
    with pytest.raises(InvariantBroken):
        await store.commit(added(orphan))
    assert await store.tasks(["orphan"]) == {}
    assert await store.prune(ended_before=35.0, keep=9) == Pruned(("a",), ())  # its file is still wanted


async def test_what_belongs_to_a_forgotten_task_goes_with_it(store: Store) -> None:
    await store.commit(
        Changes(
            groups=[Group("g", "", "map", "agent", 1, 10.0), Group("h", "", "map", "agent", 2, 10.0)],
            added=[new("a", group="g", tags=("x",), key="k"), new("b", group="h"), new("c", group="h", tags=("x",))],
            remembered=[Remembered(Origin("d", "1"), "submit", ("a",))],
        )
    )
    await finish(store, "a", at=50.0, result_file="aa", result_size=9)
    await finish(store, "b", at=51.0, result_file="bb", result_size=9)
    await finish(store, "c", at=90.0, result_file="bb", result_size=9)
    assert await store.prune(ended_before=60.0, keep=9) == Pruned(("a", "b"), ("aa",))
    assert await store.attempts(["a"]) == {}
    assert await store.payloads(["a", "c"]) == {"c": b"{}"}
    assert await store.by_key("agent", "k") is None
    assert await store.group("g") is None
    assert await store.group("h") is not None
    assert await names(store, TaskQuery(tag="x")) == ["c"]
    assert await store.remembered(Origin("d", "1")) is None
    await store.commit(added(new("again", key="k")))


async def test_of_many_requests_as_many_are_remembered_as_tasks_and_the_latest_in_any_case(store: Store) -> None:
    for number in range(10):
        task = new(f"t{number}", submitted_at=1000.0 * number)
        told = Remembered(Origin("d", str(number)), "submit", (task.task.id,))
        await store.commit(Changes(added=[task], remembered=[told]))
    for number in range(10, 13):
        told = Remembered(Origin("d", str(number)), "cancel", ())
        await store.commit(Changes(added=[new(f"t{number}", submitted_at=9000.0 + number)], remembered=[told]))
    await store.prune(ended_before=0.0, keep=5)
    known = [number for number in range(13) if await store.remembered(Origin("d", str(number))) is not None]
    assert known == [7, 8, 9, 10, 11, 12]  # that of the sixth has the time of the limit
    await store.prune(ended_before=0.0, keep=1)
    known = [number for number in range(13) if await store.remembered(Origin("d", str(number))) is not None]
    assert known == [9, 10, 11, 12]


async def test_what_is_still_wanted_is_not_forgotten(store: Store) -> None:
    await store.commit(added(new("needed"), new("waiting", after=("needed",)), new("dying"), new("running")))
    await finish(store, "needed")
    await store.commit(started("running"))
    await store.commit(started("dying"))
    await store.commit(moved("dying", State.CANCELLED, 30.0, number=1))  # its attempt has not ended
    assert await store.prune(ended_before=1000.0, keep=0) == Pruned()
    await store.commit(moved("waiting", State.CANCELLED, 31.0))
    assert (await store.prune(ended_before=1000.0, keep=0)).tasks == ("needed", "waiting")


async def test_a_checkpoint_changes_nothing_that_can_be_seen(store: Store) -> None:
    await store.commit(added(*(new(f"t{i}") for i in range(300))))
    await store.checkpoint()
    await store.commit(added(new("after")))
    assert await store.counts() == {State.QUEUED: 301}


async def test_which_files_of_results_any_task_has(store: Store) -> None:
    await store.commit(added(new("a"), new("b")))
    await finish(store, "a", result_file="aa", result_size=9)
    await finish(store, "b", result=b"1")
    assert await store.named_results(["aa", "bb", ""]) == {"aa"}
    assert await store.named_results([]) == set()
