"""The engine is killed with `kill -9`, and the next one takes over: nothing runs twice, nothing is forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
from executor_stage import LocalStage, is_alive, process_gone, processes_of

from mcp_scheduler.core.events import Returned
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Attempt
from mcp_scheduler.core.states import Reason
from mcp_scheduler.executors.local.folders import berths
from mcp_scheduler.executors.local.limits import Limits
from mcp_scheduler.executors.local.outputs import LocalOutputs

pytestmark = pytest.mark.anyio


class Doomed:
    """The first engine."""

    def __init__(self, process, launched):
        self.process = process
        self.attempts = [AttemptId(task, 1) for task, _ in launched]
        self.launches = {AttemptId(task, 1): Attempt(AttemptId(task, 1), slot, "local", 0.0) for task, slot in launched}

    async def heard_end(self):
        """Wait until it has reported an end."""
        await asyncio.wait_for(self.process.stdout.readline(), 30)

    async def kill(self):
        self.process.kill()
        await self.process.wait()


@pytest.fixture
async def doom(root, leak_check, anyio_backend):
    """Start an engine that launches these calls."""
    engines = []

    async def start(*calls):
        program = Path(__file__).with_name("doomed_engine.py")
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(program), str(root), json.dumps(calls), stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        )  # fmt: skip
        engines.append(process)
        return Doomed(process, json.loads(await asyncio.wait_for(process.stdout.readline(), 30)))

    yield start
    for process in engines:
        if process.returncode is None:
            process.kill()
            await process.wait()
        process._transport.close()


@pytest.fixture
async def heir(root, leak_check, anyio_backend):
    """The next engine, not open yet."""
    stage = LocalStage(root, Limits(grace=0.5))
    yield stage
    await stage.close()


async def take_over(heir, doomed):
    heir.launches.update(doomed.launches)
    await heir.open(doomed.attempts)


async def test_a_running_call_goes_on_with_its_output_and_its_result(heir, doom):
    gate = heir.gate()
    doomed = await doom(["wait", [gate.arguments]])
    pid = await gate.reached()
    await doomed.kill()

    await take_over(heir, doomed)
    assert heir.begins() == doomed.attempts
    assert not heir.ends(doomed.attempts[0])
    assert is_alive(pid)
    gate.open()

    assert (await heir.end_of(doomed.attempts[0])).result == b'"through"'


async def test_a_call_that_ended_without_an_engine_is_read_from_its_record(heir, doom, root):
    gate = heir.gate()
    doomed = await doom(["wait_and_say", [gate.arguments]])
    await gate.reached()
    await doomed.kill()
    gate.open()
    await _appears(root / "attempts" / f"{doomed.attempts[0]}.exit")

    await take_over(heir, doomed)

    outcome = await heir.end_of(doomed.attempts[0])
    assert outcome.result == b'"through"'
    printed = await LocalOutputs(heir.folders).read(doomed.attempts[0], "stdout", offset=0, limit=100)
    assert (printed.text, printed.total) == (b"said alone\n", 11)
    assert outcome.stdout_bytes == 11


async def test_an_end_that_the_dead_engine_heard_and_did_not_keep_is_told_again(heir, doom):
    doomed = await doom(["echo", [{"value": 5}]])
    await doomed.heard_end()
    await doomed.kill()

    await take_over(heir, doomed)

    assert (await heir.end_of(doomed.attempts[0])).result == b"5"
    heir.executor.settle(doomed.attempts)


async def test_a_call_that_crashed_without_an_engine_ended_as_crashed(heir, doom, root):
    gate = heir.gate()
    doomed = await doom(["wait", [gate.arguments]])
    pid = await gate.reached()
    await doomed.kill()
    os.kill(pid, signal.SIGKILL)
    await _appears(root / "attempts" / f"{doomed.attempts[0]}.exit")

    await take_over(heir, doomed)

    outcome = await heir.end_of(doomed.attempts[0])
    assert outcome.reason is Reason.CRASHED
    assert outcome.signal == signal.SIGKILL


async def test_calls_that_had_not_begun_are_given_back(heir, doom):
    gate = heir.gate()
    doomed = await doom(["wait", [gate.arguments] * 3])
    await gate.reached()
    await doomed.kill()

    await take_over(heir, doomed)
    for attempt in doomed.attempts[1:]:
        await heir.return_of(attempt)
    gate.open()

    assert (await heir.end_of(doomed.attempts[0])).reason is None


async def test_when_everything_was_killed_the_begun_call_is_lost_and_the_rest_is_given_back(heir, doom, root):
    gate, daemon = heir.gate(), heir.gate()
    arguments = {"gate": gate.arguments["gate"], "began": daemon.arguments["began"]}
    doomed = await doom(["leave_daemon", [arguments, arguments]])
    left_behind = await daemon.reached()
    await doomed.kill()
    for pid in processes_of(root):
        if pid not in (left_behind, os.getpid()):
            os.kill(pid, signal.SIGKILL)
            await process_gone(pid)
    assert is_alive(left_behind)

    await take_over(heir, doomed)

    assert (await heir.end_of(doomed.attempts[0])).reason is Reason.LOST
    await heir.return_of(doomed.attempts[1])
    assert not is_alive(left_behind)
    assert not berths(heir.folders.run)


async def test_after_a_restart_of_the_machine_whatever_left_no_record_is_lost(heir, doom, root):
    gate = heir.gate()
    doomed = await doom(["wait", [gate.arguments] * 2])
    await gate.reached()
    await doomed.kill()
    for pid in processes_of(root):
        if pid != os.getpid():
            os.kill(pid, signal.SIGKILL)
            await process_gone(pid)
    for lock in (root / "run").glob("*.lock"):
        lock.write_text(lock.read_text().replace(_boot(), "0" * 36))
    (root / "run" / "boot").write_text("0" * 36)

    await take_over(heir, doomed)

    for attempt in doomed.attempts:
        assert (await heir.end_of(attempt)).reason is Reason.LOST
        assert (root / "attempts" / f"{attempt}.exit").exists()
    assert (root / "run" / "boot").read_text() == _boot()


async def test_a_disk_that_takes_no_note_at_the_start_leaves_no_attempt_undecided(heir, doom, root):
    gate = heir.gate()
    doomed = await doom(["wait", [gate.arguments] * 2])
    await gate.reached()
    await doomed.kill()
    (root / "run" / "boot.draft").mkdir()  # where the note would be written

    await take_over(heir, doomed)
    await heir.return_of(doomed.attempts[1])
    gate.open()

    assert (await heir.end_of(doomed.attempts[0])).reason is None


async def test_what_runs_and_is_not_wanted_any_more_is_ended(heir, doom):
    gate, daemon = heir.gate(), heir.gate()
    arguments = {"gate": gate.arguments["gate"], "began": daemon.arguments["began"]}
    doomed = await doom(["leave_daemon", [arguments]])
    pid = await daemon.reached()
    await doomed.kill()

    await heir.open([])

    await process_gone(pid)
    assert not heir.events


async def test_a_frozen_worker_and_shim_are_alive_and_may_speak_later(heir, doom, root, monkeypatch):
    monkeypatch.setattr("mcp_scheduler.executors.local.recovery.PATIENCE", 0.3)
    gate = heir.gate()
    doomed = await doom(["wait", [gate.arguments]])
    await gate.reached()
    await doomed.kill()
    frozen = [pid for pid in processes_of(root) if pid != os.getpid()]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)

    await take_over(heir, doomed)
    assert not heir.events
    await heir.until(lambda: heir.executor.frozen.of(doomed.attempts[0]))
    told = heir.executor.frozen.of(doomed.attempts[0])
    assert any(f"its shim, process {pid}, was stopped" in told for pid in frozen), told
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)
    await heir.until(heir.begins)
    assert heir.executor.frozen.of(doomed.attempts[0]) == ""
    gate.open()

    assert (await heir.end_of(doomed.attempts[0])).result == b'"through"'


async def test_a_frozen_call_that_is_not_wanted_is_stopped_when_it_thaws(heir, doom, root, monkeypatch):
    monkeypatch.setattr("mcp_scheduler.executors.local.recovery.PATIENCE", 0.3)
    gate = heir.gate()
    doomed = await doom(["wait", [gate.arguments]])
    pid = await gate.reached()
    await doomed.kill()
    frozen = [one for one in processes_of(root) if one != os.getpid()]
    for one in frozen:
        os.kill(one, signal.SIGSTOP)
    await take_over(heir, doomed)

    heir.executor.stop(doomed.attempts[0], None)
    for one in frozen:
        os.kill(one, signal.SIGCONT)

    assert (await heir.end_of(doomed.attempts[0])).reason is Reason.CANCELLED
    assert not is_alive(pid)


async def test_records_that_nobody_asks_for_are_swept(heir, root):
    heir.folders.make()
    stray = root / "attempts" / "old-task.1.exit"
    stray.write_text("{}")

    await heir.open([])

    assert not stray.exists()


@pytest.mark.parametrize("seed", range(6))
async def test_wherever_the_kill_falls_every_call_runs_at_most_once_and_is_accounted_for(heir, doom, root, seed):
    chance = random.Random(seed)
    ledger = root / "ledger"
    ledger.touch()
    calls = [["note", [{"ledger": str(ledger)}] * 60]] * 2
    doomed = await doom(*calls)
    for _ in range(chance.randrange(40)):
        await doomed.heard_end()
    if seed % 2:
        victims = [pid for pid in processes_of(root) if pid not in (os.getpid(), doomed.process.pid)]
        if victims:  # at the very beginning nothing may have been started yet
            with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
                os.kill(chance.choice(victims), signal.SIGKILL)
    await doomed.kill()

    await take_over(heir, doomed)
    for attempt in doomed.attempts:
        await heir.until(lambda one=attempt: heir.ends(one) or Returned(one) in heir.events)

    ran = Counter(ledger.read_text().split())
    for attempt in doomed.attempts:
        ends = heir.ends(attempt)
        assert len(ends) + heir.events.count(Returned(attempt)) == 1
        assert ran[str(attempt)] <= 1
        if ends and ends[0].outcome.reason is None:
            assert ran[str(attempt)] == 1
        if not ends:
            assert ran[str(attempt)] == 0


async def _appears(path):
    """Wait for a file to come into being."""
    async with asyncio.timeout(30):
        while not await asyncio.to_thread(path.exists):  # noqa: ASYNC110 (a file sends no events)
            await asyncio.sleep(0.005)


def _boot():
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
