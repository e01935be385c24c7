"""Two real commands on one CPU, and a function that gives way to them."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from mcp_scheduler import Scheduler

LIMIT = 60.0
FUNCTIONS = """
from mcp_scheduler import current_task, function


@function
def patient() -> int:
    task = current_task()
    left = task.folder / "left"
    while not left.exists():
        if task.should_yield():
            left.write_text("half")
            task.give_way()
    return task.attempt
"""
WORK = """
import sys, time
while time.process_time() < 2.0:
    before = time.process_time()
    while time.process_time() < before + 0.05:
        pass
    with open(sys.argv[1], "a") as file:
        file.write(sys.argv[2] + "\\n")
"""

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_two_commands_on_one_cpu_progress_by_turns_and_a_function_gives_way_to_them(tmp_path: Path) -> None:
    """Commands of two seconds of CPU each: shorter ones would not tell turns from chance on a busy machine."""
    code, ledger = tmp_path / "patient_functions.py", tmp_path / "ledger"
    code.write_text(FUNCTIONS)
    with TemporaryDirectory(prefix="slice-") as home:
        settings = '[pool]\ncpus = 1\n[queue]\npolicy = "time_slice"\nquantum = 0.5\n'
        (Path(home) / "config.toml").write_text(settings)
        async with Scheduler.open(home, functions=[code]) as scheduler:
            function = await scheduler.submit("patient")
            work = [{"command": [sys.executable, "-c", WORK, str(ledger), name], "timeout": 30} for name in "ab"]
            commands = await scheduler.submit_many(work)
            report = await scheduler.wait([commands[0].id, commands[1].id, function.id], timeout=LIMIT)
            assert report.complete
            ended = [await scheduler.get(one.id) for one in commands]
            assert await function.result(LIMIT) >= 2
    assert [one.state for one in ended] == ["succeeded", "succeeded"]
    turns = [name for name, _ in groupby(ledger.read_text().split())]
    assert len(turns) >= 4, turns
    whole = sum(one.seconds for one in ended)
    spent = max(one.ended_at for one in ended) - min(one.started_at for one in ended)
    assert whole <= spent * 1.2, "What stood still was counted as run time."
