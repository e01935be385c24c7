"""What a commit keeps, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from store_parts import OTHER_TERMS, TERMS, Place, added, ended, finish, look, moved, new, started

from mcp_scheduler.core.changes import Changes, Remembered
from mcp_scheduler.core.events import Ended, Group, Origin, Outcome
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Attempt
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.core.task import Extras, Status
from mcp_scheduler.errors import InvariantBroken, StoreUnavailable
from mcp_scheduler.ports import Result, Store

pytestmark = pytest.mark.anyio

FULL: dict[str, Any] = {
    "terms": OTHER_TERMS,
    "name": "Träning",
    "group": "sweep",
    "after": ("a", "b"),
    "tags": ("gpu", "naïve"),
    "start_after": 11.5,
    "deadline": 99.0,
    "key": "key-1",
    "digest": "d1",
    "extras": Extras(("corpus", "naïve"), ("index",)),
    "status": Status(State.RETRYING, 12.0, 2, 1, 1, 1, 15.0, True, True, Reason.CRASHED, "it fell\ud800\x00", -7, 1),
    "size": 41,
}


async def test_a_task_comes_back_as_it_went_in(store: Store) -> None:
    full, plain = new("full", payload=b'{"x": "\\u0000"}', **FULL), new("plain")
    await store.commit(added(full, plain))
    found = await store.tasks(["plain", "nobody", "full"])
    full.task.status = replace(full.task.status, error="it fell?\x00")  # half a character is no text
    assert {name: look(task) for name, task in found.items()} == {"plain": look(plain.task), "full": look(full.task)}
    assert await store.payloads(["full", "plain"]) == {"full": b'{"x": "\\u0000"}', "plain": b"{}"}


async def test_what_the_caller_does_later_with_its_task_changes_nothing(store: Store) -> None:
    task = new("a")
    await store.commit(added(task))
    task.task.status = Status(State.RUNNING, 11.0, 1)
    assert (await store.tasks(["a"]))["a"].status == Status(State.QUEUED, 10.0)


@pytest.mark.parametrize("count", [1, 2, 5, 63, 64, 65, 256, 257, 700])
async def test_any_number_of_tasks_lives_through_a_whole_life(store: Store, count: int) -> None:
    names = [f"t{i}" for i in range(count)]
    await store.commit(added(*map(new, names)))
    await store.commit(
        Changes(
            started=[Attempt(AttemptId(name, 1), "t0.1", "local", 20.0, ("GPU-1",)) for name in names],
            statuses={name: Status(State.RUNNING, 20.0, 1) for name in names},
        )
    )
    await store.commit(
        Changes(
            ended=[Ended(AttemptId(name, 1), 30.0, Outcome(result=name.encode(), seconds=0.5)) for name in names],
            statuses={name: Status(State.SUCCEEDED, 30.0, 1) for name in names},
        )
    )
    assert await store.counts() == {State.SUCCEEDED: count}
    assert {name: result.inline for name, result in (await store.results(names)).items()} == {
        name: name.encode() for name in names
    }
    [run] = (await store.attempts([names[-1]]))[names[-1]]
    assert (run.devices, run.started_at, run.ended_at, run.seconds) == (("GPU-1",), 20.0, 30.0, 0.5)


async def test_an_attempt_is_remembered_with_all_that_was_told_of_its_end(store: Store) -> None:
    outcome = Outcome(Reason.ERROR, "boom", None, "", 0, 3, 9, 1.25, 1 << 40, 10, 20, "f00d", 1 << 34)
    await store.commit(added(new("a")))
    await store.commit(started("a"))
    [run] = (await store.attempts(["a"]))["a"]
    assert (run.ended_at, run.reason, run.returned) == (None, None, False)
    await store.commit(ended("a", reason=Reason.ERROR, error="boom", exit_code=3, signal=9, seconds=1.25,
                             memory_peak=1 << 40, stdout_bytes=10, stderr_bytes=20, fingerprint="f00d",
                             device_peak=1 << 34))  # fmt: skip
    [run] = (await store.attempts(["a"]))["a"]
    assert run.id == AttemptId("a", 1)
    told = [field for field in Outcome.__slots__ if not field.startswith("result")]
    assert {field: getattr(run, field) for field in told} == {field: getattr(outcome, field) for field in told}


async def test_a_returned_attempt_is_closed_and_its_task_can_start_again(store: Store) -> None:
    await store.commit(added(new("a")))
    await store.commit(started("a"))
    back = Changes(returned=[AttemptId("a", 1)], statuses={"a": Status(State.QUEUED, 25.0, 1)})
    await store.commit(back)
    await store.commit(started("a", number=2, at=26.0))
    first, second = (await store.attempts(["a"]))["a"]
    assert (first.returned, first.ended_at, second.returned, second.ended_at) == (True, 25.0, False, None)


async def test_a_result_belongs_to_the_status_it_came_with(store: Store) -> None:
    await store.commit(added(new("a"), new("b")))
    await finish(store, "a", reason=Reason.ERROR, error="no", result=b"1")
    await finish(store, "b", result_file="ab" * 32, result_size=70_000)
    assert await store.results(["a", "b", "c"]) == {
        "a": Result(b"1", "", 1),
        "b": Result(None, "ab" * 32, 70_000),
    }
    await store.commit(moved("a", State.QUEUED, 40.0, number=1))
    assert await store.results(["a"]) == {"a": Result(None, "", 0)}


async def test_deadlines_groups_and_remembered_requests_come_back(store: Store) -> None:
    group = Group("g", "sweep", "map", "agent", 2, 10.0, items=9, chunk=5, stages=2, folds=3)
    told = Remembered(Origin("door", "7"), "submit", ("a", "b"))
    await store.commit(Changes(groups=[group], added=[new("a", group="g"), new("b", group="g")], remembered=[told]))
    await store.commit(Changes(deadlines={"a": 50.0, "b": None}))
    assert [task.deadline for task in await store.members("g")] == [50.0, None]
    assert await store.group("g") == group
    assert await store.group("h") is None
    assert await store.remembered(told.origin) == told
    assert await store.remembered(Origin("door", "8")) is None


async def test_settings_are_kept_and_replaced(store: Store) -> None:
    assert await store.setting("a") is None
    await store.set_setting("a", "1")
    await store.set_setting("a", "2 ü")
    assert await store.setting("a") == "2 ü"


UNLAWFUL = {
    "a status of an unknown task": moved("nobody", State.RUNNING, 40.0),
    "an end of what has succeeded": moved("done", State.FAILED, 40.0, number=1),
    "a start of what has succeeded": started("done", number=2),
    "a success of what has failed": moved("failed", State.SUCCEEDED, 40.0, number=1),
    "a run of what has failed under its old number": moved("failed", State.RUNNING, 40.0, number=1),
    "a falling number": moved("running", State.QUEUED, 40.0, number=0),
    "an end of an attempt that never began": ended("queued"),
    "an end of an attempt that has ended": ended("failed", reason=Reason.ERROR),
    "an end of another number": Changes(ended=[Ended(AttemptId("running", 2), 40.0, Outcome())]),
    "the same end twice": Changes(ended=[Ended(AttemptId("running", 1), 40.0, Outcome())] * 2),
    "a return of an attempt that has ended": Changes(returned=[AttemptId("failed", 1)]),
    "a start of an unknown task": started("nobody"),
    "a start under a number that was used": started("running"),
    "a deadline of an unknown task": Changes(deadlines={"nobody": 1.0}),
    "an id that is taken": added(new("queued")),
    "an arrival number that is taken": added(new("fresh", seq=1_000_001)),
    "a key that is taken": added(new("fresh", key="k")),
    "a group that is there": Changes(groups=[Group("g", "", "map", "agent", 1, 1.0)]),
    "a request that was remembered": Changes(remembered=[Remembered(Origin("d", "1"), "cancel", ())]),
}


@pytest.mark.parametrize("unlawful", UNLAWFUL.values(), ids=UNLAWFUL.keys())
async def test_what_is_unlawful_is_refused_with_all_that_came_with_it(store: Store, unlawful: Changes) -> None:
    await store.commit(
        Changes(
            groups=[Group("g", "", "map", "agent", 1, 1.0)],
            added=[new(name) for name in ("queued", "running", "done", "failed")]
            + [new("keyed", key="k", seq=1_000_001)],
            remembered=[Remembered(Origin("d", "1"), "submit", ("queued",))],
        )
    )
    await store.commit(started("running"))
    await finish(store, "done")
    await finish(store, "failed", reason=Reason.ERROR)
    everybody = ["queued", "running", "done", "failed", "keyed"]
    before = {name: look(task) for name, task in (await store.tasks(everybody)).items()}
    innocent = new("innocent", seq=1_000_002)
    together = replace(
        unlawful,
        added=[innocent, *unlawful.added],
        statuses={"queued": Status(State.HELD, 41.0), **unlawful.statuses},
    )
    with pytest.raises(InvariantBroken):
        await store.commit(together)
    assert {name: look(task) for name, task in (await store.tasks([*everybody, "innocent", "fresh"])).items()} == before
    await store.commit(added(innocent))


async def test_what_failed_or_was_cancelled_can_be_tried_again(store: Store) -> None:
    await store.commit(added(*map(new, "abcd")))
    await finish(store, "a", reason=Reason.ERROR)
    for name in "bcd":
        await store.commit(moved(name, State.CANCELLED, 30.0))
    await store.commit(moved("a", State.RUNNING, 40.0, number=2))  # retried and placed in one batch
    await store.commit(moved("b", State.PENDING, 40.0))
    await store.commit(moved("c", State.QUEUED, 40.0))
    await store.commit(moved("d", State.CANCELLED, 40.0))  # retried and cancelled in one batch
    states = {name: task.status.state for name, task in (await store.tasks(list("abcd"))).items()}
    assert states == {"a": State.RUNNING, "b": State.PENDING, "c": State.QUEUED, "d": State.CANCELLED}


async def test_one_key_serves_each_principal_once(store: Store) -> None:
    await store.commit(added(new("mine", key="k"), new("theirs", key="k", terms=replace(TERMS, principal="person"))))
    mine, theirs = await store.by_key("agent", "k"), await store.by_key("person", "k")
    assert mine is not None
    assert theirs is not None
    assert (mine.id, theirs.id) == ("mine", "theirs")
    assert await store.by_key("agent", "other") is None
    assert await store.by_key("agent", "") is None


async def test_a_store_that_is_not_open_says_so(place: Place) -> None:
    store, _ = await place.open()
    await store.close()
    await store.close()
    for call in (lambda: store.commit(added(new("a"))), store.counts, store.checkpoint, lambda: store.setting("a")):
        with pytest.raises(StoreUnavailable):
            await call()


async def test_extras_change_with_a_commit(store: Store) -> None:
    await store.commit(added(new("a"), new("b", extras=Extras(writes=("x",)))))
    series = Extras(every=60.0, cron="0 3 * * * UTC", catch_up="all", occurrence=2, time=9.5, paused=True, over=True)
    await store.commit(Changes(extras={"a": series, "b": Extras(writes=("x",), behind=("a",))}))
    found = await store.tasks(["a", "b"])
    assert found["a"].extras == series
    assert found["b"].extras == Extras(writes=("x",), behind=("a",))


async def test_a_task_may_have_the_payload_of_another(store: Store) -> None:
    await store.commit(added(new("a", payload=b'{"x":1}')))
    following = new("b")
    following.like = "a"
    together, with_it = new("c", payload=b'{"y":2}'), new("d")
    with_it.like = "c"
    await store.commit(added(following, together, with_it))
    assert await store.payloads(["b", "d"]) == {"b": b'{"x":1}', "d": b'{"y":2}'}


@pytest.mark.parametrize("what", ["extras", "payload"])
async def test_what_belongs_to_an_unknown_task_is_refused_and_nothing_is_written(store: Store, what: str) -> None:
    orphan = new("a")
    orphan.like = "nobody" if what == "payload" else ""
    with pytest.raises(InvariantBroken):
        await store.commit(Changes(added=[orphan], extras={"nobody": Extras()} if what == "extras" else {}))
    assert await store.tasks(["a"]) == {}


async def test_a_task_goes_on_under_other_terms(place: Place) -> None:
    store, _ = await place.open()
    await store.commit(added(new("a"), new("b")))
    await store.commit(Changes(terms={"a": OTHER_TERMS}))
    assert [task.terms for task in (await store.tasks(["a", "b"])).values()] == [OTHER_TERMS, TERMS]
    await place.leave()
    _, boot = await place.open()
    assert [task.terms for task in boot.tasks] == [OTHER_TERMS, TERMS]
    with pytest.raises(InvariantBroken):
        await (await place.open())[0].commit(Changes(terms={"nobody": TERMS}))


async def test_forecasts_are_kept_by_key_and_forgotten_one_by_one(place: Place) -> None:
    store, _ = await place.open()
    await store.keep_forecasts({"a": "1", "b": "2", "c": None})
    await store.keep_forecasts({"a": "3", "b": None})
    assert await store.forecasts() == {"a": "3"}
    await place.leave()
    store, _ = await place.open()
    assert await store.forecasts() == {"a": "3"}
