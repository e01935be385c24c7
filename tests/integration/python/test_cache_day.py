"""Results that are reused, over a real engine in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from mcp_scheduler import Scheduler, errors, views

LIMIT = 30.0
SOURCE = """
from pathlib import Path
from mcp_scheduler import function

@function
def count(path: str) -> int:
    file = Path(path)
    with file.open("a") as calls:
        calls.write("x")
    return len(file.read_text()){more}
"""

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def code() -> Iterator[Path]:
    with TemporaryDirectory(prefix="code-") as folder:
        file = Path(folder, "cache_functions.py")
        file.write_text(SOURCE.format(more=""))
        yield file


@pytest.fixture(scope="module")
async def scheduler(code: Path) -> AsyncIterator[Scheduler]:
    with TemporaryDirectory(prefix="cache-") as home:
        async with Scheduler.open(home, functions=[code], principal="tester") as opened:
            yield opened


def change(code: Path) -> None:
    code.write_text(SOURCE.format(more=" + 100"))


def written(path: str) -> str:
    return Path(path).read_text()


async def test_an_equal_call_answers_at_once_until_the_code_changes(
    scheduler: Scheduler, code: Path, tmp_path: Path
) -> None:
    calls, cached = str(tmp_path / "calls"), {"cache": True}
    first = await scheduler.submit("count", options=cached, path=calls)
    assert await first.result(LIMIT) == 1
    again = await scheduler.submit("count", options=cached, path=calls)
    view = await again.wait(0)
    assert isinstance(view, views.TaskView)
    assert (view.state, view.cached_from, view.attempt) == ("succeeded", first.id, 0)
    assert await again.result(LIMIT) == 1
    third = await (await scheduler.submit("count", options=cached, path=calls)).wait(0)
    assert isinstance(third, views.TaskView)
    assert third.cached_from == first.id  # of the call that was carried out, not of its copy
    assert await (await scheduler.submit("count", path=calls)).result(LIMIT) == 2  # it did not ask for the cache
    assert await (await scheduler.submit("count", options=cached, path=f"{calls}2")).result(LIMIT) == 1
    graph = await scheduler.submit_graph({
        "known": {"function": "count", "arguments": {"path": calls}, "cache": True},
        "new": {"function": "count", "arguments": {"path": f"{calls}3"}, "after": ["known"]},
    })  # fmt: skip
    done = await graph.wait(LIMIT)
    assert isinstance(done, views.GroupView)
    assert done.state == "succeeded"
    change(code)
    while (await (await scheduler.submit("count", options=cached, path=calls)).result(LIMIT)) == 1:
        pass  # the change is seen within a second
    assert written(calls) == "xxx"


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ({"function": "count", "arguments": {"path": {"$result": "x"}}}, r"\$result that is not known"),
        ({"function": "count", "arguments": {"path": "x"}, "writes": ["x"]}, "cannot stand beside `writes`"),
        ({"command": ["true"]}, "single calls of a function"),
    ],
)
async def test_what_cannot_be_told_to_be_equal_is_refused(
    scheduler: Scheduler, task: dict[str, object], words: str
) -> None:
    with pytest.raises(errors.InvalidRequest, match=words):
        await scheduler.submit_graph(
            {"x": {"function": "count", "arguments": {"path": "x"}}, "y": {**task, "cache": True}}
        )
