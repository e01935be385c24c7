"""Pruning takes the files of what it forgets along, wherever it is interrupted."""

import asyncio
import contextlib

import pytest

from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.events import Outcome, Submitted
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.policies.order import PRIORITY
from mcp_scheduler.ports import Pruned
from mcp_scheduler.runtime.upkeep import Upkeep
from mcp_scheduler.settings import Queue
from tests.runtime.rig import LIMIT, Rig

pytestmark = pytest.mark.anyio

RESULTS = {"old": "a" * 64, "older": "b" * 64, "kept": "c" * 64}


class Killed(BaseException):
    """The engine dies here."""


class Interrupted:
    """Passes calls on, and counts those that change something; the engine dies before, or after, one of them."""

    def __init__(self, real, steps):
        self._real, self._steps = real, steps

    def __getattr__(self, name):
        real = getattr(self._real, name)
        if name not in ("prune", "remove", "forget_pruned"):
            return real

        async def stepped(*words, **options):
            self._steps.step()
            result = await real(*words, **options)
            self._steps.step()
            return result

        return stepped


class Steps:
    def __init__(self, at):
        self.count, self._at = 0, at

    def step(self):
        self.count += 1
        if self.count == self._at:
            raise Killed


class Files:
    """`ports.Outputs` as far as pruning goes: which tasks and which results have files."""

    def __init__(self, results):
        self.tasks, self.results = set(results), set(results.values())
        self.refusals = []
        self.claimed = set()  # results that a call has just returned again
        self.left = []

    async def remove(self, pruned: Pruned):
        if self.refusals:
            raise self.refusals.pop(0)
        self.tasks -= set(pruned.tasks)
        self.results -= set(pruned.result_files) - self.claimed
        return [file for file in pruned.result_files if file in self.claimed]


class NoInputs:
    def release(self, tasks):
        assert set(tasks) <= set(RESULTS)


def upkeep(rig, files, at=0, keep=1):
    """That of a new engine, which dies at its step `at`."""
    steps = Steps(at)
    limits = Queue(keep_tasks=keep, keep_days=30)
    cluster = Cluster(PRIORITY)
    store, outputs = Interrupted(rig.disk, steps), Interrupted(files, steps)
    return Upkeep(cluster, store, outputs, NoInputs(), rig.clock, limits, files.left.extend), steps


def is_stored(rig, name):
    """Whether the end of this task is."""
    return any(end.attempt.task == name for commit in rig.disk.commits for end in commit.ended)


async def three_tasks(rig):
    for name, file in RESULTS.items():
        await rig.loop.ask(Submitted([rig.new(name)]))
        await rig.until(lambda name=name: AttemptId(name, 1) in rig.executor.running)
        rig.clock.time += 1
        rig.executor.end(AttemptId(name, 1), Outcome(result_file=file, result_size=70_000))
        await rig.until(lambda name=name: is_stored(rig, name))


async def test_wherever_a_pruning_is_interrupted_the_next_engine_removes_the_files_of_what_it_forgot():
    seen = set()
    for at in range(1, 100):
        async with Rig() as rig:
            await three_tasks(rig)
            files = Files(RESULTS)
            first, steps = upkeep(rig, files, at)
            with contextlib.suppress(Killed):
                await first.prune()
            there = set(await rig.disk.tasks(list(RESULTS)))
            seen.add((len(there), len(files.tasks)))
            assert there <= files.tasks, "no task loses its files"

            second, _ = upkeep(rig, files)
            working = asyncio.create_task(second.run())
            async with asyncio.timeout(LIMIT):
                while files.tasks != there or await rig.disk.pruned() != Pruned():  # noqa: ASYNC110
                    await asyncio.sleep(0)
            working.cancel()
            assert files.results == {RESULTS[name] for name in there}
        if steps.count < at:
            break
    assert (1, 3) in seen, "it was interrupted between the rows and the files"
    assert (1, 1) in seen


async def test_what_cannot_be_removed_is_tried_again_and_nothing_more_is_forgotten_before():
    async with Rig() as rig:
        await three_tasks(rig)
        files = Files(RESULTS)
        files.refusals += [OSError("Input/output error")] * 2
        pruning, _ = upkeep(rig, files, keep=2)
        with pytest.raises(OSError, match="Input"):
            await pruning.prune()
        pruning, _ = upkeep(rig, files, keep=0)
        with pytest.raises(OSError, match="Input"):
            await pruning.prune()
        assert set(await rig.disk.tasks(list(RESULTS))) == {"older", "kept"}
        assert await pruning.prune() == 2
        assert files.tasks == files.results == set()


async def test_a_result_that_another_task_has_by_then_stays():
    async with Rig() as rig:
        await three_tasks(rig)
        files = Files(RESULTS)
        await rig.disk.prune(ended_before=0.0, keep=1)  # and the engine died
        await rig.loop.ask(Submitted([rig.new("again")]))
        await rig.until(lambda: rig.executor.running)
        rig.executor.end(AttemptId("again", 1), Outcome(result_file=RESULTS["old"], result_size=70_000))
        await rig.until(lambda: is_stored(rig, "again"))
        pruning, _ = upkeep(rig, files, keep=9)
        await pruning.prune()
        assert files.results == {RESULTS["old"], RESULTS["kept"]}


async def test_a_result_that_stays_because_a_call_has_returned_the_same_is_handed_on():
    async with Rig() as rig:
        await three_tasks(rig)
        files = Files(RESULTS)
        files.claimed.add(RESULTS["older"])
        pruning, _ = upkeep(rig, files, keep=0)
        assert await pruning.prune() == len(RESULTS)
        assert files.left == [RESULTS["older"]]
        assert await rig.disk.pruned() == Pruned()


async def test_space_is_given_back_after_a_pruning_unless_something_runs():
    async with Rig() as rig:
        await three_tasks(rig)
        pruning, _ = upkeep(rig, Files(RESULTS), keep=3)
        assert await pruning.prune() == 0
        assert rig.disk.checkpoints == 0
        pruning, _ = upkeep(rig, Files(RESULTS), keep=2)
        assert await pruning.prune() == 1
        assert rig.disk.checkpoints == 1
