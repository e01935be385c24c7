import asyncio
import logging

import pytest

from mcp_scheduler import errors
from mcp_scheduler.core.events import Action, CancelAsked, Ended, Outcome, Submitted, UpdateAsked
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.ports import Progress
from tests.core.builders import terms
from tests.runtime.rig import LIMIT, Rig

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch):
    monkeypatch.setattr("mcp_scheduler.runtime.loop._RETRY_SECONDS", 0.01)
    monkeypatch.setattr("mcp_scheduler.runtime.effects._AGAIN", 0.01)


async def test_a_submitted_task_is_launched_and_ends():
    async with Rig(script=lambda *_: Outcome(result=b"7")) as rig:
        await rig.submit("a", x=1)
        await rig.ended("a")
        assert rig.state("a") is State.SUCCEEDED
        assert rig.arguments("a") == {"x": 1}
        assert AttemptId("a", 1) in rig.executor.settled


async def test_many_asks_share_few_commits():
    async with Rig() as rig:
        await asyncio.gather(*(rig.submit(f"t{number}") for number in range(200)))
        assert len(rig.disk.commits) <= 3
        assert sum(len(changes.added) for changes in rig.disk.commits) == 200


async def test_what_comes_while_a_commit_is_under_way_becomes_the_next_one():
    async with Rig() as rig:
        rig.disk.free.clear()
        first = asyncio.create_task(rig.submit("first"))
        await rig.disk.spinning.wait()
        others = [asyncio.create_task(rig.submit(f"t{number}")) for number in range(50)]
        await asyncio.sleep(0)
        rig.disk.free.set()
        await asyncio.gather(first, *others)
        assert [len(changes.added) for changes in rig.disk.commits] == [1, 50]


@pytest.mark.parametrize(("seconds", "batches"), [(0.0, [1, 1, 1]), (0.2, [1, 2])])
async def test_a_time_between_two_turns_lets_more_come_together(seconds, batches):
    async with Rig(batch_seconds=seconds) as rig:
        await rig.submit("first")
        second = asyncio.create_task(rig.submit("second"))
        for _ in range(50):
            await asyncio.sleep(0)
        await asyncio.gather(second, rig.submit("third"))
        assert [len(changes.added) for changes in rig.disk.commits if changes.added] == batches


async def test_nothing_is_answered_seen_or_done_before_it_is_durable():
    async with Rig() as rig:
        rig.disk.free.clear()
        asked = asyncio.create_task(rig.submit("a"))
        await rig.disk.spinning.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not asked.done()
        assert "a" not in rig.cluster.tasks
        assert not rig.executor.launched
        rig.disk.free.set()
        await asked
        assert rig.executor.launched


async def test_workers_get_their_calls_after_the_commit_and_before_callers_go_on_or_more_is_decided(monkeypatch):
    async with Rig(cpus=10) as rig:
        order: list[str] = []
        commit, launch = rig.disk.commit, rig.executor.launch

        async def committed(changes):
            await commit(changes)
            order.append("committed")

        def launched(*what):
            order.append("launched")
            launch(*what)

        monkeypatch.setattr(rig.disk, "commit", committed)
        monkeypatch.setattr(rig.executor, "launch", launched)
        monkeypatch.setattr(rig.executor, "flush", lambda: order.append("sent"))
        rig.disk.free.clear()
        first = asyncio.create_task(rig.submit("first", terms("module.a")))
        await rig.disk.spinning.wait()
        others = [asyncio.create_task(rig.submit(name, terms(f"module.{name}"))) for name in ("b", "c")]
        first.add_done_callback(lambda _: order.append("first answered"))
        await asyncio.sleep(0)
        rig.disk.free.set()
        await asyncio.wait_for(asyncio.gather(first, *others), LIMIT)
        assert order[:3] == ["committed", "launched", "sent"]
        rest = [word for word in order[3:] if word != "first answered"]
        assert rest[:4] == ["committed", "launched", "launched", "sent"]
        assert "first answered" in order[3:]


async def test_a_disk_that_refuses_is_told_to_the_caller_and_leaves_everything_as_it_was():
    async with Rig() as rig:
        rig.disk.refusals.append(errors.StoreUnavailable("disk full"))
        with pytest.raises(errors.StoreUnavailable, match="disk full"):
            await rig.submit("a")
        assert "a" not in rig.cluster.tasks
        assert not rig.executor.launched
        assert rig.loop.trouble
        await rig.submit("b")
        assert rig.executor.running == [AttemptId("b", 1)]
        assert rig.loop.trouble == ""


async def test_reports_wait_until_the_disk_takes_them():
    async with Rig() as rig:
        await rig.submit("a")
        rig.disk.refusals += [errors.StoreUnavailable("full"), errors.StoreUnavailable("still full")]
        rig.executor.end(AttemptId("a", 1))
        await rig.ended("a")
        assert rig.state("a") is State.SUCCEEDED
        assert not rig.disk.refusals


async def test_one_event_that_breaks_a_rule_does_not_take_its_batch_along(monkeypatch, caplog):
    from mcp_scheduler.core import wishes

    def broken(draft, event):
        raise errors.InvariantBroken("A defect.")

    async with Rig() as rig:
        await rig.submit("a")
        monkeypatch.setattr(wishes, "cancel", broken)
        rig.disk.free.clear()
        rig.disk.spinning.clear()
        held_up = asyncio.create_task(rig.submit("first"))
        await rig.disk.spinning.wait()
        bad = asyncio.create_task(rig.loop.ask(CancelAsked(("a",))))
        good = asyncio.create_task(rig.submit("b"))
        rig.executor.end(AttemptId("a", 1))
        await asyncio.sleep(0)
        with caplog.at_level(logging.CRITICAL):
            rig.disk.free.set()
            await asyncio.wait_for(asyncio.gather(held_up, good), LIMIT)
            with pytest.raises(errors.InvariantBroken, match="A defect"):
                await asyncio.wait_for(bad, LIMIT)
        await rig.ended("a")
        assert rig.state("a") is State.SUCCEEDED


async def test_a_caller_who_goes_away_does_not_take_the_commit_along():
    async with Rig() as rig:
        rig.disk.free.clear()
        asked = asyncio.create_task(rig.submit("a"))
        await rig.disk.spinning.wait()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        rig.disk.free.set()
        await rig.until(lambda: "a" in rig.cluster.tasks)
        assert rig.executor.running == [AttemptId("a", 1)]


async def test_a_stopped_loop_finishes_what_it_has_and_takes_nothing_more():
    async with Rig() as rig:
        rig.disk.free.clear()
        last = asyncio.create_task(rig.submit("a"))
        await rig.disk.spinning.wait()
        rig.loop.stop()
        rig.disk.free.set()
        await last
        with pytest.raises(errors.ShuttingDown):
            await rig.submit("b")


async def test_a_stopped_loop_leaves_a_long_queue_of_short_work_to_the_next_engine():
    def at_once(attempt: AttemptId, _: bytes) -> Outcome:
        if attempt.task == "t9":
            rig.loop.stop()
        return Outcome(seconds=0.1)

    async with Rig(script=at_once) as rig:  # every call ends in the turn that starts it: there is always a report
        await asyncio.wait_for(rig.loop.ask(Submitted([rig.new(f"t{number}") for number in range(100)])), LIMIT)
    assert rig.cluster.counts[State.QUEUED] > 80


async def test_a_loop_ends_even_if_the_disk_never_takes_its_reports():
    async with Rig() as rig:
        await rig.submit("a")
        rig.disk.refusals += [errors.StoreUnavailable("full")] * 1000
        rig.executor.end(AttemptId("a", 1))
        rig.loop.stop()  # leaving the rig waits for the end


async def test_a_cancelled_call_is_stopped_after_the_wish_is_durable():
    async with Rig() as rig:
        await rig.submit("a")
        rig.disk.free.clear()
        rig.disk.spinning.clear()
        asked = asyncio.create_task(rig.loop.ask(CancelAsked(("a",))))
        await rig.disk.spinning.wait()
        assert not rig.executor.stops
        rig.disk.free.set()
        await asked
        await rig.ended("a")
        assert rig.executor.stops == [(AttemptId("a", 1), None)]
        assert rig.state("a") is State.CANCELLED


async def test_wishes_of_an_earlier_life_are_asked_for_again():
    async with Rig() as rig:
        await rig.submit("a")
        rig.executor.stubborn.add(AttemptId("a", 1))
        await rig.loop.ask(CancelAsked(("a",)))
        rig.loop.stop_asked_again()
        assert len(rig.executor.stops) == 2


async def test_a_timer_fires_though_nothing_is_reported():
    async with Rig() as rig:
        new = rig.new("a")
        new.task.start_after = rig.clock.now() + 0.02
        await rig.loop.ask(Submitted([new]))
        assert rig.state("a") is State.SCHEDULED
        rig.clock.time += 1.0
        await rig.until(lambda: rig.state("a") is State.RUNNING)


async def test_a_failed_attempt_is_tried_again():
    async with Rig() as rig:
        rig.executor.plan("a", Outcome(Reason.ERROR, "no"), Outcome(result=b"1"))
        await rig.submit("a", terms(retry=2))
        await rig.until(lambda: rig.state("a") is State.RETRYING)
        rig.clock.time += 3600
        rig.loop.wake()
        await rig.ended("a")
        assert (rig.state("a"), rig.cluster.tasks["a"].status.number) == (State.SUCCEEDED, 2)


async def test_a_duplicate_key_is_refused_alone():
    async with Rig() as rig:
        first, second, other = rig.new("a"), rig.new("b"), rig.new("c")
        first.task.key = second.task.key = "k"
        asks = [rig.loop.ask(Submitted([new])) for new in (first, second, other)]
        answers = await asyncio.gather(*asks, return_exceptions=True)
        assert [type(answer) for answer in answers] == [type(None), errors.DuplicateKey, type(None)]


async def test_progress_is_told_of_living_attempts_only_and_forgotten_at_the_end():
    async with Rig() as rig:
        await rig.submit("a")
        rig.loop.report(Progress(AttemptId("a", 1), 0.5, "half", rig.clock.now()))
        rig.loop.report(Progress(AttemptId("a", 9), 0.9, "late", rig.clock.now()))
        assert rig.loop.progress["a"].fraction == 0.5
        rig.executor.end(AttemptId("a", 1))
        await rig.ended("a")
        await rig.until(lambda: not rig.loop.progress)


async def test_a_late_report_is_settled_without_a_commit():
    async with Rig() as rig:
        rig.loop.report(Ended(AttemptId("nobody", 1), rig.clock.now(), Outcome()))
        await rig.until(lambda: rig.executor.settled)
        assert not rig.disk.commits


async def test_listeners_hear_of_every_commit_and_still_find_its_tasks(monkeypatch):
    monkeypatch.setattr("mcp_scheduler.core.cluster.TAIL", 3)
    async with Rig(cpus=1) as rig:
        missing = []
        rig.loop.on_commit.append(
            lambda changes: missing.extend(name for name in changes.statuses if name not in rig.cluster.tasks)
        )
        await rig.loop.ask(Submitted([rig.new(f"t{number}") for number in range(30)]))
        await rig.loop.ask(CancelAsked(tuple(f"t{number}" for number in range(1, 30))))
        assert missing == []


# --- waiting for ends


async def test_a_waiter_is_told_when_the_end_is_durable():
    async with Rig() as rig:
        await rig.submit("a")
        with rig.watch.on(["a", "a"]) as waiter:
            rig.disk.free.clear()
            rig.disk.spinning.clear()
            rig.executor.end(AttemptId("a", 1))
            await rig.disk.spinning.wait()
            assert not waiter.event.is_set()
            rig.disk.free.set()
            await asyncio.wait_for(waiter.event.wait(), LIMIT)
            assert rig.state("a") is State.SUCCEEDED


async def test_a_waiter_of_a_group_is_told_of_each_member():
    async with Rig() as rig:
        new = rig.new("a")
        new.task.group = "g"
        await rig.loop.ask(Submitted([new]))
        with rig.watch.on(["g"]) as waiter:
            rig.executor.end(AttemptId("a", 1))
            await asyncio.wait_for(waiter.event.wait(), LIMIT)


async def test_a_waiter_that_has_left_is_forgotten():
    async with Rig() as rig:
        with rig.watch.on(["a", "b"]):
            pass
        assert not rig.watch._waiters


async def test_a_task_that_is_skipped_on_arrival_has_ended_for_its_waiters():
    async with Rig() as rig:
        with rig.watch.on(["a"]) as waiter:
            await rig.submit("a", after="nobody")
            assert waiter.event.is_set()
        assert rig.state("a") is State.SKIPPED


async def test_a_retried_task_gets_its_arguments_from_the_store_again():
    async with Rig() as rig:
        rig.executor.plan("a", Outcome(Reason.ERROR, "no"))
        await rig.submit("a", x=3)
        await rig.ended("a")
        await rig.loop.ask(UpdateAsked(("a",), Action.RETRY))
        await rig.until(lambda: AttemptId("a", 2) in rig.executor.launched)
        assert rig.arguments("a", 2) == {"x": 3}
