"""The ranks of a gang: they find each other, they end together, and nothing of them stays."""

from __future__ import annotations

import json
import signal

import pytest
from command_stage import CommandStage
from executor_stage import process_gone

from mcp_scheduler.core.states import Reason
from mcp_scheduler.executors.local.limits import Limits

pytestmark = pytest.mark.anyio

MEET = """
import json, os, socket, sys
rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
if rank == 0:
    with socket.create_server(place) as server:
        server.settimeout(20)
        got = [int(server.accept()[0].recv(9)) for _ in range(size - 1)]
    print(json.dumps([sorted(got), sys.stdin.read(), place[1]]))
else:
    assert sys.stdin.read() == ""
    for _ in range(2000):
        try:
            with socket.create_connection(place, 20) as wire:
                wire.sendall(os.environ["LOCAL_RANK"].encode())
            break
        except ConnectionRefusedError:
            os.sched_yield()
"""
ONE_FALLS = """
import os, signal, sys
if os.environ["RANK"] == "1":
    print("ValueError: no", file=sys.stderr, flush=True)
    {end}
os.write(1, f"{{os.getpid()}}\\n".encode())
signal.pause()
"""
WAITS = """
import os, signal, sys
open(sys.argv[1 + int(os.environ["RANK"])], "w").write(str(os.getpid()))
signal.pause()
"""


@pytest.fixture
async def stage(root, leak_check, anyio_backend):
    stage = CommandStage(root, Limits(grace=0.5))
    await stage.open()
    yield stage
    await stage.close()


async def test_the_ranks_find_each_other_and_the_first_reads_the_input(stage):
    gangs = [stage.python(MEET, ranks=3, stdin=f"gang {number}") for number in range(2)]
    told = [json.loads(stage.result(await stage.end_of(gang))["stdout_tail"]) for gang in gangs]
    assert [(ranks, said) for ranks, said, _ in told] == [([1, 2], "gang 0"), ([1, 2], "gang 1")]
    assert told[0][2] != told[1][2], "two gangs that run at once have two ports"


async def test_every_rank_has_the_variables_of_torchrun(stage):
    names = "RANK LOCAL_RANK GROUP_RANK WORLD_SIZE LOCAL_WORLD_SIZE MASTER_ADDR"
    program = f"import os; os.write(1, (' '.join(os.environ[name] for name in {names.split()}) + '\\n').encode())"
    outcome = await stage.end_of(stage.python(program, ranks=2))
    lines = stage.result(outcome)["stdout_tail"].splitlines()
    assert sorted(lines) == ["0 0 0 2 2 127.0.0.1", "1 1 0 2 2 127.0.0.1"]


@pytest.mark.parametrize(
    ("end", "reason", "code", "number"),
    [("sys.exit(3)", Reason.ERROR, 3, None), ("os.kill(os.getpid(), signal.SIGSEGV)", Reason.CRASHED, None, 11)],
)
async def test_one_that_fails_ends_the_others_and_the_gang_ends_as_it_did(stage, end, reason, code, number):
    attempt = stage.python(ONE_FALLS.format(end=end), ranks=3)
    outcome = await stage.end_of(attempt)
    assert (outcome.reason, outcome.exit_code, outcome.signal) == (reason, code, number)
    said = stage.printed(attempt, "err").decode()
    assert "ValueError: no" in said
    assert "Rank 1 of 3" in said
    for pid in stage.printed(attempt).split():
        await process_gone(int(pid))


async def test_a_gang_that_is_stopped_leaves_nothing_behind(stage):
    gates = [stage.gate() for _ in range(3)]
    attempt = stage.python(WAITS, *(gate.arguments["began"] for gate in gates), ranks=3)
    pids = [await gate.reached() for gate in gates]
    stage.executor.stop(attempt, Reason.TIMEOUT)
    outcome = await stage.end_of(attempt)
    assert outcome.reason is Reason.TIMEOUT
    assert outcome.signal in (None, signal.SIGTERM)
    for pid in pids:
        await process_gone(pid)


async def test_a_command_with_several_devices_is_told_how_many(stage):
    outcome = await stage.end_of(stage.shell("echo $NPROC_PER_NODE", devices=("GPU-1", "GPU-2")))
    assert stage.result(outcome)["stdout_tail"] == "2\n"
