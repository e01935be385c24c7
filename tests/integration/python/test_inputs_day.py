"""Files that are kept at submission, over a real engine in this process: functions, commands, retries, the cache."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from mcp_scheduler import Scheduler, errors, views

LIMIT = 30.0
SOURCE = """
import os
from mcp_scheduler import current_task, function

@function(retry={"max_attempts": 2, "delay": 0.01})
def read(name: str, fail: bool = False) -> str:
    file = current_task().inputs / name
    text = file.read_text()
    file.write_text("spoilt")
    if fail and current_task().attempt == 1:
        raise ConnectionError("once more")
    return text + (" here" if os.environ.get("MCP_SCHEDULER_INPUTS") else "")
"""

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    before = os.getcwd()
    with TemporaryDirectory(prefix="inputs-") as folder:
        Path(folder, "inputs_functions.py").write_text(SOURCE)
        os.chdir(folder)
        yield Path(folder)
        os.chdir(before)


@pytest.fixture(scope="module")
async def scheduler(place: Path) -> AsyncIterator[Scheduler]:
    with TemporaryDirectory(prefix="home-") as home:
        async with Scheduler.open(home, functions=[place / "inputs_functions.py"], principal="tester") as opened:
            yield opened


async def test_a_function_reads_what_was_there_when_it_was_submitted(scheduler: Scheduler, place: Path) -> None:
    (place / "a.txt").write_text("before")
    given = {"inputs": ["*.txt"]}
    held = await scheduler.submit("read", options={**given, "hold": True}, name="a.txt", fail=True)
    (place / "a.txt").write_text("after")
    await scheduler.update([held.id], "resume")
    assert await held.result(LIMIT) == "before here"  # by its second attempt, after the first has spoilt its copy
    assert (place / "a.txt").read_text() == "after"
    plain = await scheduler.submit("read", name="a.txt")  # without inputs: the working folder as it is
    assert await plain.result(LIMIT) == "after"


async def test_a_command_finds_them_below_its_variable(scheduler: Scheduler, place: Path) -> None:
    (place / "data").mkdir(exist_ok=True)
    (place / "data" / "run.sh").write_text('cat "$MCP_SCHEDULER_INPUTS/data/text"\n')
    (place / "data" / "text").write_text("hello")
    os.chmod(place / "data" / "run.sh", 0o700)
    graph = await scheduler.submit_graph({
        "say": {"command": ["sh", "-c", '"$MCP_SCHEDULER_INPUTS/data/run.sh"'], "inputs": ["data"], "hold": True},
    })  # fmt: skip
    (place / "data" / "text").unlink()
    await scheduler.update([graph.id], "resume")
    done = await graph.wait(LIMIT)
    assert isinstance(done, views.GroupView)
    assert (await graph.result(LIMIT))[0]["stdout_tail"] == "hello"


async def test_the_cache_looks_at_what_is_in_them(scheduler: Scheduler, place: Path) -> None:
    asked = {"inputs": ["b.txt"], "cache": True}
    (place / "b.txt").write_text("one")
    first = await scheduler.submit("read", options=asked, name="b.txt")
    assert await first.result(LIMIT) == "one here"
    again = await (await scheduler.submit("read", options=asked, name="b.txt")).wait(0)
    assert isinstance(again, views.TaskView)
    assert again.cached_from == first.id
    (place / "b.txt").write_text("two")
    assert await (await scheduler.submit("read", options=asked, name="b.txt")).result(LIMIT) == "two here"


async def test_a_map_keeps_common_inputs_once_and_a_repetition_with_other_content_is_no_repetition(
    scheduler: Scheduler, place: Path
) -> None:
    (place / "c.txt").write_text("c")
    mapped = await scheduler.map("read", ["c.txt"] * 3, argument="name", options={"inputs": ["c.txt"]})
    assert await mapped.result(LIMIT) == ["c here"] * 3
    key = {"inputs": ["c.txt"], "idempotency_key": "k"}
    first = await scheduler.submit("read", options=key, name="c.txt")
    assert (await scheduler.submit("read", options=key, name="c.txt")).id == first.id
    (place / "c.txt").write_text("changed")
    with pytest.raises(errors.DuplicateKey, match="files of its inputs are not"):
        await scheduler.submit("read", options=key, name="c.txt")


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ({"lease": True, "inputs": ["a.txt"]}, "belongs to a function or a command"),
        ({"function": "read", "arguments": {"name": "x"}, "inputs": ["no such"]}, "There is no input"),
    ],
)
async def test_what_cannot_be_is_refused_with_what_to_do(
    scheduler: Scheduler, task: dict[str, object], words: str
) -> None:
    with pytest.raises(errors.InvalidRequest, match=words):
        await scheduler.submit_many([task])


async def test_a_task_that_recurs_has_none(scheduler: Scheduler) -> None:
    with pytest.raises(errors.InvalidRequest, match="this task recurs"):
        await scheduler.submit("read", options={"inputs": ["a.txt"], "every": 60}, name="a.txt")


async def test_what_undoes_a_task_has_inputs_of_its_own(scheduler: Scheduler, place: Path) -> None:
    (place / "undo.txt").write_text("undo")
    undo = {"command": ["sh", "-c", 'cat "$MCP_SCHEDULER_INPUTS/undo.txt" > undone'], "inputs": ["undo.txt"]}
    (failed,) = await scheduler.submit_many([{"command": ["false"], "on_failure": undo}])
    await failed.wait(LIMIT)
    assert (place / "undone").read_text() == "undo"
