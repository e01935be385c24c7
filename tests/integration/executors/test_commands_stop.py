"""Limits and stops of commands: whatever a command does, nothing of it is left, and nothing else is disturbed."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import time
from pathlib import Path

import psutil
import pytest
from command_stage import CommandStage
from executor_stage import is_alive, process_gone, processes_of

from mcp_scheduler.core.states import Reason
from mcp_scheduler.executors.local.limits import Limits

pytestmark = pytest.mark.anyio

# Tells its pid at argv[1], then sleeps.
SLEEPER = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER
# Forks twice, with a session of its own, deaf; the parent stays.
DAEMON = (
    "import os, signal, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "if os.fork() == 0:\n"
    " os.setsid()\n"
    " if os.fork() == 0:\n"
    "  open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)\n"
    " os._exit(0)\n"
    "time.sleep(600)\n"
)
FLOOD = "import os, sys\nopen(sys.argv[1], 'w').write(str(os.getpid()))\nwhile True: os.write(1, b'x' * 65536)"


@pytest.fixture
async def stage(root, leak_check, anyio_backend):
    stage = CommandStage(root, Limits(grace=0.3, head=10_000, tail=10_000))
    await stage.open()
    yield stage
    await stage.close()


@pytest.fixture
async def patient(root, leak_check, anyio_backend):
    """A stage on which commands have time to end by themselves."""
    stage = CommandStage(root, Limits(grace=20.0))
    await stage.open()
    yield stage
    await stage.close()


@pytest.mark.parametrize("reason", [None, Reason.TIMEOUT, Reason.IDLE_TIMEOUT])
async def test_a_stop_is_told_with_its_reason(stage, reason):
    gate = stage.gate()
    attempt = stage.python(SLEEPER, gate.arguments["began"])
    pid = await gate.reached()

    stage.executor.stop(attempt, reason)

    outcome = await stage.end_of(attempt)
    assert outcome.reason is (reason or Reason.CANCELLED)
    assert outcome.signal == signal.SIGTERM
    assert not is_alive(pid)


@pytest.mark.parametrize("program", [SLEEPER, DEAF, DAEMON, FLOOD])
async def test_a_timeout_leaves_nothing_of_it(stage, program):
    gate = stage.gate()
    attempt = stage.python(program, gate.arguments["began"], timeout=1.0)
    pid = await gate.reached()

    outcome = await stage.end_of(attempt)

    assert outcome.reason is Reason.TIMEOUT
    assert not is_alive(pid)
    assert 1.0 <= outcome.seconds < 12


async def test_a_stopped_process_is_woken_to_hear_the_stop(patient):
    gate = patient.gate()
    program = "import os, signal; signal.signal(signal.SIGTERM, lambda *_: os._exit(7)); " + SLEEPER
    attempt = patient.python(program, gate.arguments["began"])
    os.kill(await gate.reached(), signal.SIGSTOP)

    patient.executor.stop(attempt, None)

    outcome = await patient.end_of(attempt)
    assert (outcome.reason, outcome.exit_code) == (Reason.CANCELLED, 7)


async def test_the_children_hear_the_stop_too_and_have_time_to_tidy_up(patient, root):
    gate = patient.gate()
    child = f"trap 'echo tidy > {root}/tidied; exit 0' TERM; echo $$ > {gate.arguments['began']}; sleep 600 & wait"
    attempt = patient.command(["/bin/bash", "-c", 'bash -c "$1"; true', "bash", child])
    await gate.reached()

    patient.executor.stop(attempt, None)
    await patient.end_of(attempt)

    assert (root / "tidied").read_text() == "tidy\n"


async def test_what_a_command_leaves_in_the_background_ends_with_it(stage):
    began, gate = stage.gate(), stage.gate()
    background = f"setsid sh -c 'echo $$ > {began.arguments['began']}; exec sleep 600' &"
    attempt = stage.shell(f"exec 3<{gate.arguments['gate']}; {background} read line <&3; exit 0")
    pid = await began.reached()
    gate.open()

    assert (await stage.end_of(attempt)).reason is None
    assert not is_alive(pid)


async def test_silence_for_longer_than_the_idle_timeout_ends_it(stage):
    attempt = stage.shell("echo begun; exec sleep 600", idle_timeout=0.4)

    outcome = await stage.end_of(attempt)

    assert outcome.reason is Reason.IDLE_TIMEOUT
    assert outcome.seconds >= 0.4


async def test_whoever_prints_now_and_then_is_not_silent(stage):
    outcome = await stage.end_of(stage.shell("for i in 1 2 3 4 5 6; do echo $i >&2; sleep 0.2; done", idle_timeout=0.9))

    assert outcome.reason is None
    assert outcome.seconds > 0.9


async def test_the_first_reason_stays(stage):
    gate = stage.gate()
    attempt = stage.python(DEAF, gate.arguments["began"], timeout=0.5)
    await gate.reached()
    stage.executor.stop(attempt, None)
    stage.executor.stop(attempt, Reason.TIMEOUT)

    assert (await stage.end_of(attempt)).reason is Reason.CANCELLED


async def test_a_stop_before_the_shim_is_there_gives_the_command_back(stage):
    attempt = stage.shell("exit 0")
    stage.executor.stop(attempt, None)

    await stage.return_of(attempt)
    assert (await stage.end_of(stage.shell("exit 0"))).reason is None


async def test_a_stop_that_comes_too_late_hits_no_later_command(stage):
    for _ in range(20):
        first = stage.shell("exit 0")
        await stage.end_of(first)
        second = stage.shell("exit 0")
        stage.executor.stop(first, None)
        assert (await stage.end_of(second)).reason is None


async def test_a_fork_storm_under_a_limit_is_ended(stage, root):
    program = (
        "import os, resource, time\n"
        "resource.setrlimit(resource.RLIMIT_NPROC, (200, 200))\n"
        "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"  # no limit holds for root
        "end = time.monotonic() + 3\n"
        "print('storm', flush=True)\n"
        "while time.monotonic() < end:\n"
        " try: os.fork()\n"
        " except OSError: time.sleep(0.01)\n"
        "time.sleep(600)\n"
    )
    attempt = stage.python(program, timeout=1.0)
    began = time.monotonic()

    outcome = await stage.end_of(attempt)

    assert outcome.reason is Reason.TIMEOUT
    assert time.monotonic() - began < 12
    assert stage.result(await stage.end_of(stage.shell("echo next")))["stdout_tail"] == "next\n"


async def test_who_hides_behind_another_subreaper_is_found_below_it(stage):
    gate = stage.gate()
    program = "import ctypes, os; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)\n" + DAEMON
    attempt = stage.python(program, gate.arguments["began"])
    pid = await gate.reached()

    stage.executor.stop(attempt, None)
    await stage.end_of(attempt)

    assert not is_alive(pid)


async def test_sigterm_to_a_shim_ends_its_command_in_order(stage):
    gate = stage.gate()
    attempt = stage.python(SLEEPER, gate.arguments["began"])
    pid = await gate.reached()
    os.kill(_parent(pid), signal.SIGTERM)

    assert (await stage.end_of(attempt)).reason is Reason.CANCELLED


async def test_other_commands_are_undisturbed_by_the_torture_of_their_neighbours(stage, root):
    gate = stage.gate()
    program = "import sys; gate = open(sys.argv[1]); open(sys.argv[2], 'w').write('1'); print(gate.read())"
    bystander = stage.python(program, gate.arguments["gate"], gate.arguments["began"])
    await gate.reached()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    victims = []
    for program in [SLEEPER, DEAF, DAEMON, FLOOD] * 2:
        told = stage.gate()
        victims.append((stage.python(program, told.arguments["began"]), await told.reached()))

    for attempt, _ in victims:
        stage.executor.stop(attempt, None)
    outcomes = await asyncio.gather(*[stage.end_of(attempt) for attempt, _ in victims])
    gate.open()

    assert {outcome.reason for outcome in outcomes} == {Reason.CANCELLED}
    assert not [pid for _, pid in victims if is_alive(pid)]
    assert stage.result(await stage.end_of(bystander))["stdout_tail"] == "through\n"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 20_000


async def test_limits_hold_without_an_engine(stage, root):
    gates = [stage.gate(), stage.gate()]
    timed = stage.python(DEAF, gates[0].arguments["began"], timeout=1.0)
    silent = stage.python(SLEEPER, gates[1].arguments["began"], idle_timeout=1.0)
    pids = [await gate.reached() for gate in gates]
    await stage.executor.close()

    for pid in pids:
        await process_gone(pid)
    await stage.restart([timed, silent])

    assert (await stage.end_of(timed)).reason is Reason.TIMEOUT
    assert (await stage.end_of(silent)).reason is Reason.IDLE_TIMEOUT


async def test_closing_ends_idle_shims_and_leaves_busy_ones(stage, root):
    gate = stage.gate()
    busy = stage.python(SLEEPER, gate.arguments["began"])
    pid = await gate.reached()
    await stage.end_of(stage.shell("exit 0"))

    await stage.executor.close()
    assert is_alive(pid)
    assert len([one for one in processes_of(root) if one not in (os.getpid(), pid)]) <= 1  # at most the busy shim
    await stage.restart([busy])
    stage.executor.stop(busy, None)

    assert (await stage.end_of(busy)).reason is Reason.CANCELLED


def _parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def test_a_frozen_shim_is_named_with_what_hangs_on_it_and_goes_on_when_it_is_woken(patient):
    gate = patient.gate()
    attempt = patient.command(["/bin/bash", "-c", f"echo $$ > {gate.arguments['began']}; sleep 600"])
    pid = await gate.reached()
    assert patient.executor.frozen.of(attempt) == ""
    shim = psutil.Process(pid).ppid()
    os.kill(shim, signal.SIGSTOP)
    await stands_still(shim)
    assert f"its shim, process {shim}," in patient.executor.frozen.of(attempt)
    assert [line.startswith(attempt.task) for line in patient.executor.frozen.all()] == [True]

    os.kill(shim, signal.SIGCONT)
    patient.executor.stop(attempt, None)

    assert (await patient.end_of(attempt)).reason is Reason.CANCELLED
    assert patient.executor.frozen.all() == []


async def stands_still(pid: int) -> None:
    """Until the signal that stops the process has arrived."""
    async with asyncio.timeout(5):
        while psutil.Process(pid).status() != psutil.STATUS_STOPPED:  # noqa: ASYNC110 - a kernel sets no event
            await asyncio.sleep(0)
