"""Pieces of results and outputs: bounded, addressable, never more than was asked for."""

from __future__ import annotations

import json
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from mcp_scheduler import errors
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.states import FINAL, State
from mcp_scheduler.core.task import Task
from mcp_scheduler.ports import Outputs
from mcp_scheduler.requests import ReadOutput
from mcp_scheduler.service.grep import matching_lines
from mcp_scheduler.views import OutputPage

_GREP_BYTES = 2 * 2**20 + 4096  # what is kept of an attempt's output at most
_NOTHING_THERE = "There is nothing at this path, or a null."
_LETTER = 4  # bytes of the longest letter in UTF-8
_FIRST_BYTES = ((4, 0xF0), (3, 0xE0), (2, 0xC0))  # the length of a letter, and the least of its first bytes


async def result_page(name: str, number: int, value: Any, request: ReadOutput) -> OutputPage:
    """A page of the JSON text of the result of a task (its attempt `number`) or of a group, after `path` has picked a
    part of it. A result that is a text is shown as it is."""
    note = ""
    if number and request.attempt not in (None, number):
        raise errors.InvalidRequest(
            f"{name} has its result from attempt {number}.",
            hint="Leave attempt out; what other attempts printed is read as stdout and stderr.",
        )
    if request.path is not None:
        try:
            value = jmespath.search(request.path, value)
        except JMESPathError as error:
            raise errors.InvalidRequest(
                f"'{request.path}' is no JMESPath: {error}.", hint="For example: items[0].name or keys(@)."
            ) from None
        note = _NOTHING_THERE if value is None else ""
    text = value if isinstance(value, str) and request.path is not None else json.dumps(value, ensure_ascii=False)
    return await _page(name, request, text.encode(errors="replace"), number, note=note)


async def stream_page(task: Task, outputs: Outputs, request: ReadOutput, latest: int) -> OutputPage:
    """A page of what an attempt printed; by default `latest`, the one that tells how the task has ended."""
    number = request.attempt or latest
    if not task.status.number:
        raise _never_ran(task)
    if number > task.status.number or number < 1:
        raise errors.InvalidRequest(
            f"{task.id} has no attempt {number}.", hint=f"It has had {task.status.number} so far."
        )
    attempt = AttemptId(task.id, number)
    if request.grep is not None:
        kept, _, _, total = await outputs.read(attempt, request.what, offset=0, limit=_GREP_BYTES)
        return await _page(task.id, request, kept, number, note=_note(len(kept), total))
    offset = -request.limit if request.tail else request.offset
    text, start, end, total = await outputs.read(attempt, request.what, offset=offset, limit=request.limit)
    begun = _begun(text)
    if end < total and begun < len(text):
        text, end = text[: len(text) - begun], end - begun
    elif end == total and task.status.state is State.RUNNING and number == task.status.number:
        text, end, total = text[: len(text) - begun], end - begun, total - begun  # the rest of it is still to come
    return OutputPage(
        task.id, request.what, number, text.decode(errors="replace"), start, total,
        end if end < total and text else None,
    )  # fmt: skip


async def _page(name: str, request: ReadOutput, content: bytes, number: int, note: str = "") -> OutputPage:
    if request.grep is not None:
        content = await matching_lines(content, request.grep)
    start = max(0, len(content) - request.limit) if request.tail else request.offset
    piece = content[start : start + request.limit]
    begun = _begun(piece)
    if start + len(piece) < len(content) and begun < len(piece):
        piece = piece[: len(piece) - begun]
    end = start + len(piece)
    return OutputPage(
        name, request.what, number, piece.decode(errors="replace"), start, len(content),
        end if end < len(content) else None, note,
    )  # fmt: skip


def _begun(text: bytes) -> int:
    """How many bytes at the end of `text` begin a letter in UTF-8 whose other bytes are missing: read with them it is
    that letter, cut in two it would be none."""
    for behind in range(1, min(_LETTER, len(text) + 1)):
        byte = text[-behind]
        if byte & 0xC0 != 0x80:  # no byte of a letter that has begun before  # noqa: PLR2004
            length = next((length for length, least in _FIRST_BYTES if byte >= least), 1)
            return behind if length > behind else 0
    return 0


def _never_ran(task: Task) -> errors.Conflict:
    state = task.status.state
    if state in FINAL:
        return errors.Conflict(
            f"{task.id} has printed nothing: it never ran, and is {state}.", hint="get_task says why."
        )
    return errors.Conflict(
        f"{task.id} has printed nothing: it has not started, and is {state}.",
        hint="get_task says what it waits for; wait_for_tasks waits until it has ended.",
    )


def _note(kept: int, total: int) -> str:
    return (
        f"{total:,} bytes were printed; {kept:,} of them are kept (the beginning and the end)." if kept < total else ""
    )
