"""The engine is killed with `kill -9` while commands run; the next one takes them over, with output, limits, ends."""

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
from command_stage import CommandStage
from executor_stage import is_alive, process_gone, processes_of

from mcp_scheduler.core.events import Returned
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Attempt
from mcp_scheduler.core.states import Reason
from mcp_scheduler.executors.local import process
from mcp_scheduler.executors.local.folders import berths
from mcp_scheduler.executors.local.limits import Limits

pytestmark = pytest.mark.anyio

# Opens the gate at argv[1], tells its pid at argv[2], and waits until it is let through.
WAITER = (
    "import os, sys\n"
    "gate = open(sys.argv[1])\n"
    "print('progress: 0.5 half', flush=True)\n"
    "open(sys.argv[2], 'w').write(str(os.getpid()))\n"
    "print(gate.read())\n"
    "print('and more', file=sys.stderr)\n"
    "sys.exit(int(sys.argv[3]) if len(sys.argv) > 3 else 0)\n"
)


def waiter(gate, *more):
    return [sys.executable, "-c", WAITER, gate.arguments["gate"], gate.arguments["began"], *more]


@pytest.fixture
async def doom(root, leak_check, anyio_backend):
    """Start an engine that launches these commands; gives it and its attempts."""
    engines = []

    async def start(*commands):
        program = Path(__file__).with_name("doomed_commands.py")
        calls = [command if isinstance(command[0], list) else [command, {}] for command in commands]
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(program), str(root), json.dumps(calls), stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        )  # fmt: skip
        engines.append(process)
        names = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
        return process, [AttemptId(name, 1) for name in names]

    yield start
    for engine in engines:
        if engine.returncode is None:
            await kill(engine)
        engine._transport.close()


@pytest.fixture
async def heir(root, leak_check, anyio_backend):
    """The next engine, not open yet."""
    stage = CommandStage(root, Limits(grace=0.5))
    yield stage
    await stage.close()


async def kill(process):
    process.kill()
    await process.wait()


async def take_over(heir, attempts):
    heir.launches.update({one: Attempt(one, str(one), "local", 0.0) for one in attempts})
    await heir.open(attempts)


async def left_frozen(heir, doom, root):
    """A command runs on, its engine is killed, and its shim, with all that belongs to it, stands still: the gate that
    the command waits at, its attempts, the processes."""
    gate = heir.gate()
    engine, attempts = await doom(waiter(gate))
    await gate.reached()
    await kill(engine)
    frozen = [pid for pid in processes_of(root) if pid != os.getpid()]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    return gate, attempts, frozen


def thaw(frozen):
    """Let them go on. One that was leaving with its engine when it was to stand still has left since."""
    for pid in frozen:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


async def test_a_running_command_goes_on_with_output_progress_and_exit_code(heir, doom):
    gate = heir.gate()
    engine, attempts = await doom(waiter(gate, "5"))
    pid = await gate.reached()
    await kill(engine)

    await take_over(heir, attempts)
    assert heir.begins() == attempts
    assert heir.progress(attempts[0]) == [(0.5, "half")]
    assert is_alive(pid)
    gate.open()

    outcome = await heir.end_of(attempts[0])
    assert (outcome.reason, outcome.exit_code) == (Reason.ERROR, 5)
    assert outcome.error == "exited with 5: and more"
    assert heir.printed(attempts[0]) == b"progress: 0.5 half\nthrough\n"


async def test_a_command_that_ended_without_an_engine_is_read_from_its_record(heir, doom, root):
    gate = heir.gate()
    engine, attempts = await doom(waiter(gate))
    await gate.reached()
    await kill(engine)
    gate.open()
    for pid in processes_of(root):
        if pid != os.getpid():
            await process_gone(pid)

    await take_over(heir, attempts)

    outcome = await heir.end_of(attempts[0])
    assert heir.result(outcome)["stdout_tail"] == "progress: 0.5 half\nthrough\n"
    assert outcome.stderr_bytes == 9
    assert not berths(root / "run")


async def test_a_command_whose_shim_stands_still_says_so_to_the_next_engine_too(heir, doom, root):
    gate, attempts, frozen = await left_frozen(heir, doom, root)

    await take_over(heir, attempts)
    await heir.until(lambda: heir.executor.frozen.of(attempts[0]))
    told = heir.executor.frozen.of(attempts[0])
    assert any(f"its shim, process {pid}, was stopped" in told for pid in frozen), told
    assert [str(attempts[0].task) in line for line in heir.executor.frozen.all()] == [True]

    thaw(frozen)
    gate.open()
    assert (await heir.end_of(attempts[0])).exit_code == 0
    assert heir.executor.frozen.all() == []


async def test_an_end_that_the_dead_engine_heard_and_did_not_keep_is_told_again(heir, doom):
    engine, attempts = await doom(["/bin/sh", "-c", "exit 4"])
    await asyncio.wait_for(engine.stdout.readline(), 30)
    await kill(engine)

    await take_over(heir, attempts)

    assert (await heir.end_of(attempts[0])).exit_code == 4


async def test_a_deadline_goes_on_counting_through_the_change_of_engines(heir, doom):
    gate = heir.gate()
    engine, attempts = await doom([waiter(gate), {"timeout": 1.5}])
    await gate.reached()
    await kill(engine)

    await take_over(heir, attempts)

    outcome = await heir.end_of(attempts[0])
    assert outcome.reason is Reason.TIMEOUT
    assert outcome.seconds < 5


async def test_an_adopted_command_can_be_stopped(heir, doom):
    gate = heir.gate()
    engine, attempts = await doom(waiter(gate))
    pid = await gate.reached()
    await kill(engine)
    await take_over(heir, attempts)

    heir.executor.stop(attempts[0], None)

    assert (await heir.end_of(attempts[0])).reason is Reason.CANCELLED
    assert not is_alive(pid)


async def test_a_command_that_nobody_wants_any_more_is_ended(heir, doom):
    gate = heir.gate()
    engine, _ = await doom(waiter(gate))
    pid = await gate.reached()
    await kill(engine)

    await heir.open([])

    await process_gone(pid)
    assert not heir.events


async def test_when_the_shim_was_killed_too_its_tree_is_found_by_the_cookie_and_the_command_is_lost(heir, doom, root):
    gate = heir.gate()
    engine, attempts = await doom(waiter(gate))
    pid = await gate.reached()
    await kill(engine)
    for one in processes_of(root):
        if one not in (pid, os.getpid()):
            os.kill(one, signal.SIGKILL)
            await process_gone(one)
    assert is_alive(pid)

    await take_over(heir, attempts)

    assert (await heir.end_of(attempts[0])).reason is Reason.LOST
    assert not is_alive(pid)
    assert not berths(root / "run")


async def test_after_a_restart_of_the_machine_the_command_is_lost_and_no_innocent_is_killed(heir, doom, root):
    gate = heir.gate()
    engine, attempts = await doom(waiter(gate))
    pid = await gate.reached()
    await kill(engine)
    for one in processes_of(root):
        if one not in (pid, os.getpid()):
            os.kill(one, signal.SIGKILL)
            await process_gone(one)
    boot = process.boot_id()
    for lock in (root / "run").glob("*.lock"):
        lock.write_text(lock.read_text().replace(boot, "0" * 36))

    await take_over(heir, attempts)

    assert (await heir.end_of(attempts[0])).reason is Reason.LOST
    assert is_alive(pid)  # a process of this boot cannot be the one that the file of another boot names
    os.kill(pid, signal.SIGKILL)


async def test_a_frozen_shim_is_alive_and_its_command_is_not_lost(heir, doom, root, monkeypatch):
    monkeypatch.setattr("mcp_scheduler.executors.local.recovery.PATIENCE", 0.3)
    gate, attempts, frozen = await left_frozen(heir, doom, root)

    await take_over(heir, attempts)
    assert not heir.events
    thaw(frozen)
    await heir.until(heir.begins)
    gate.open()

    assert (await heir.end_of(attempts[0])).reason is None


async def test_a_frozen_shim_that_is_killed_leaves_its_command_lost(heir, doom, root, monkeypatch):
    monkeypatch.setattr("mcp_scheduler.executors.local.recovery.PATIENCE", 0.3)
    gate = heir.gate()
    engine, attempts = await doom(waiter(gate))
    command = await gate.reached()
    await kill(engine)
    shim = _parent(command)
    os.kill(shim, signal.SIGSTOP)
    await take_over(heir, attempts)

    os.kill(shim, signal.SIGKILL)

    assert (await heir.end_of(attempts[0])).reason is Reason.LOST
    assert not is_alive(command)


@pytest.fixture
def delegated(monkeypatch):
    """A control group that is ours to divide, as systemd gives one to a user's session."""
    for mount in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
        group = Path(mount, f"mcp-scheduler-test-{os.getpid()}")
        try:
            group.mkdir()
        except OSError:
            continue
        if (group / "cgroup.kill").exists():
            break
        group.rmdir()
    else:
        pytest.skip("no control group may be made here")
    monkeypatch.setenv("TEST_CGROUP", str(group))
    yield group
    for leaf in group.iterdir():
        if leaf.is_dir():
            leaf.rmdir()
    group.rmdir()


async def test_in_a_control_group_even_a_process_without_a_cookie_dies_with_its_shim(delegated, heir, doom, root):
    gate = heir.gate()
    program = f"import os, sys; os.execve(sys.executable, {waiter(gate)}, {{'TMPDIR': {str(root)!r}}})"
    engine, attempts = await doom([sys.executable, "-c", program])
    pid = await gate.reached()
    assert [leaf.name for leaf in delegated.iterdir() if leaf.is_dir()] == [f"mcp-scheduler-{attempts[0]}"]
    await kill(engine)
    for one in processes_of(root):
        if one not in (pid, os.getpid()):
            os.kill(one, signal.SIGKILL)
            await process_gone(one)

    await take_over(heir, attempts)

    assert (await heir.end_of(attempts[0])).reason is Reason.LOST
    await process_gone(pid)
    assert not [leaf for leaf in delegated.iterdir() if leaf.is_dir()]


async def test_in_a_control_group_a_command_is_ended_and_its_group_goes(delegated, heir, doom, root):
    gate = heir.gate()
    engine, attempts = await doom(waiter(gate))
    await gate.reached()
    await kill(engine)
    await take_over(heir, attempts)

    heir.executor.stop(attempts[0], None)

    assert (await heir.end_of(attempts[0])).reason is Reason.CANCELLED
    assert not [leaf for leaf in delegated.iterdir() if leaf.is_dir()]


@pytest.mark.parametrize("seed", range(8))
async def test_wherever_the_kill_falls_every_command_runs_at_most_once_and_is_accounted_for(heir, doom, root, seed):
    chance = random.Random(seed)
    ledger = root / "ledger"
    ledger.touch()
    note = ["/bin/sh", "-c", f"echo $MCP_SCHEDULER_ATTEMPT >> {ledger}; sleep 0.0{seed}"]
    engine, attempts = await doom(*[note] * 12)
    for _ in range(chance.randrange(12)):
        await asyncio.wait_for(engine.stdout.readline(), 30)
    if seed % 2:
        victims = [pid for pid in processes_of(root) if pid not in (os.getpid(), engine.pid)]
        if victims:
            with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
                os.kill(chance.choice(victims), signal.SIGKILL)
    await kill(engine)

    await take_over(heir, attempts)
    for attempt in attempts:
        await heir.until(lambda one=attempt: heir.ends(one) or Returned(one) in heir.events)

    ran = Counter(ledger.read_text().split())
    for attempt in attempts:
        ends = heir.ends(attempt)
        assert len(ends) + heir.events.count(Returned(attempt)) == 1
        assert ran[str(attempt)] <= 1
        if ends and ends[0].outcome.reason is None:
            assert ran[str(attempt)] == 1
        if not ends:
            assert ran[str(attempt)] == 0


def _parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
