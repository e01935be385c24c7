"""Outputs and results in pieces: put together again they are what was printed, letter by letter."""

from pathlib import Path

import pytest

from mcp_scheduler import errors
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Status, Task
from mcp_scheduler.executors.local.folders import Folders
from mcp_scheduler.executors.local.log import Log
from mcp_scheduler.executors.local.outputs import LocalOutputs
from mcp_scheduler.requests import ReadOutput
from mcp_scheduler.service.reading import result_page, stream_page
from tests.core.builders import terms

pytestmark = pytest.mark.anyio

HEAD, TAIL = 1000, 2000


class Printer:
    """A task that has printed, and a reader of it."""

    def __init__(self, folder: Path, state: State = State.SUCCEEDED, number: int = 1) -> None:
        folders = Folders(folder, folder, folder, folder)
        self.outputs = LocalOutputs(folders)
        self.log = Log(folder / "task-1.1.out", HEAD, TAIL)
        self.task: Task = Task("task-1", 1, terms(), 0.0, Status(state, 0.0, number))

    async def page(self, **query: object):
        request = ReadOutput.model_validate({"id": "task-1", "what": "stdout", "limit": 100, **query})
        return await stream_page(self.task, self.outputs, request, self.task.status.number)

    async def pages(self, offset: int | None = 0) -> list[str]:
        found: list[str] = []
        while offset is not None:
            page = await self.page(offset=offset)
            found.append(page.text)
            offset = page.next_offset
        return found


async def test_what_was_not_kept_is_told_once_and_what_was_kept_is_read_once(tmp_path: Path):
    printer = Printer(tmp_path)
    stream = b"".join(b"%09d\n" % number for number in range(1000))
    printer.log.write(stream)

    missing = len(stream) - HEAD - TAIL
    expected = stream[:HEAD] + b"\n[%d bytes were not kept]\n" % missing + stream[-TAIL:]
    assert "".join(await printer.pages()) == expected.decode()


async def test_the_tail_of_a_stream_with_a_gap_is_its_end_and_reading_goes_on_from_there(tmp_path: Path):
    printer = Printer(tmp_path)
    printer.log.write(b"".join(b"%09d\n" % number for number in range(1000)))

    page = await printer.page(tail=True, limit=20)
    assert (page.text, page.offset, page.total, page.next_offset) == ("000000998\n000000999\n", 9980, 10000, None)
    assert "".join(await printer.pages(page.offset)) == page.text


async def test_no_letter_is_cut_in_two_by_the_end_of_a_page(tmp_path: Path):
    printer = Printer(tmp_path)
    text = "x" + "ü" * 120 + "€" * 80 + "😀" * 60
    printer.log.write(text.encode())

    pages = await printer.pages()
    assert len(pages) > 5
    assert "".join(pages) == text


async def test_a_letter_that_is_half_written_is_read_when_it_is_whole_or_when_the_task_has_ended(tmp_path: Path):
    printer = Printer(tmp_path, State.RUNNING)
    printer.log.write("ü".encode() + b"\xe2\x82")
    page = await printer.page()
    assert (page.text, page.total, page.next_offset) == ("ü", 2, None)
    printer.log.write(b"\xac")
    assert (await printer.page(offset=page.total)).text == "€"

    printer.log.write(b"\xe2")
    printer.task = Task("task-1", 1, terms(), 0.0, Status(State.SUCCEEDED, 0.0, 1))
    assert (await printer.page(offset=5)).text == "\ufffd"


async def test_bytes_that_are_no_text_are_read_to_their_end(tmp_path: Path):
    printer = Printer(tmp_path)
    printer.log.write(bytes(range(256)) * 2)
    pages = await printer.pages()
    assert sum(len(page) for page in pages) >= 256
    assert (await printer.page(offset=0, limit=1)).next_offset == 1
    assert (await printer.page(offset=0xF0, limit=1)).next_offset == 0xF1


async def test_pages_of_a_result_keep_its_letters():
    offset: int | None = 0
    text = ""
    while offset is not None:
        request = ReadOutput(id="task-1", what="result", offset=offset, limit=100)
        page = await result_page("task-1", 1, "x" + "ü€😀" * 50, request)
        text, offset = text + page.text, page.next_offset
    assert text == '"x' + "ü€😀" * 50 + '"'


@pytest.mark.parametrize(
    ("state", "told"), [(State.QUEUED, "has not started, and is queued"), (State.SKIPPED, "never ran, and is skipped")]
)
async def test_who_has_not_run_has_printed_nothing_and_it_is_said_why(tmp_path: Path, state: State, told: str):
    with pytest.raises(errors.Conflict, match=told) as refused:
        await Printer(tmp_path, state, number=0).page()
    assert "get_task" in refused.value.hint


async def test_a_path_that_meets_nothing_is_told_from_a_result_that_is_null():
    async def note(value: object, **query: object) -> str:
        request = ReadOutput.model_validate({"id": "task-1", **query})
        return (await result_page("task-1", 1, value, request)).note

    assert "nothing at this path" in await note({"a": 1}, path="b")
    assert await note({"a": 1}, path="a") == ""
    assert await note(None) == ""


async def test_the_result_of_another_attempt_is_refused():
    request = ReadOutput.model_validate({"id": "task-1", "attempt": 7})
    with pytest.raises(errors.InvalidRequest, match="from attempt 1"):
        await result_page("task-1", 1, "x", request)
