"""logs: what a task printed, from the beginning or while it runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, TextIO

import typer

from mcp_scheduler.cli import options, out
from mcp_scheduler.cli.connect import engine
from mcp_scheduler.cli.failures import INTERRUPTED, SUCCESS, TASK_FAILED
from mcp_scheduler.cli.text import FINAL, Json, for_people, note, one_line
from mcp_scheduler.owner import OwnerClient

_PAGE: Final = 65_536  # bytes, the most that one reading gives
_PAUSES: Final = (0.1, 1.0)  # seconds between two looks: the first, the longest
_PATIENCE: Final = 2  # looks at a waiting task before it is said what it waits for

Stream = Literal["stdout", "stderr"]


def logs(
    id: options.TaskId,  # noqa: A002 - the word of every request
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the task has ended; exit code 1 if it failed.")
    ] = False,
    only: Annotated[
        Stream | None,
        typer.Option("--only", metavar="stdout|stderr", help="One of the two streams. Default: both, each to its own."),
    ] = None,
    tail: Annotated[
        int | None,
        typer.Option("--tail", metavar="BYTES", min=1, max=_PAGE, help="Begin so many bytes before the end."),
    ] = None,
    attempt: Annotated[
        int | None, typer.Option("--attempt", metavar="N", min=1, help="That attempt. Default: the last one.")
    ] = None,
    grep: Annotated[
        str | None, typer.Option("--grep", metavar="REGEX", help="Only lines that match (not with -f).")
    ] = None,
    as_json: options.AsJson = False,
    home: options.Home = None,
) -> int:
    """Print what a task has written, or follow it."""
    streams: list[Stream] = [only] if only else ["stdout", "stderr"]
    with engine(home) as client:
        if as_json:
            _print_json(client, id, streams, attempt, grep)
            return SUCCESS
        reading = Reading(client, id, attempt, grep, dict.fromkeys(streams, 0))
        if tail:
            reading.begin_near_end(tail)
        if not follow:
            reading.print_new()
            return SUCCESS
        try:
            return SUCCESS if follow_to_end(reading)["state"] == "succeeded" else TASK_FAILED
        except KeyboardInterrupt:
            out.aside(f"Stopped following; the task goes on. Again: mcp-scheduler logs -f {id}")
            return INTERRUPTED


@dataclass(slots=True)
class Reading:
    """How far the streams of one attempt (None = the last) have been read."""

    client: OwnerClient
    id: str
    attempt: int | None
    grep: str | None
    offsets: dict[Stream, int] = field(default_factory=dict["Stream", int])

    def page(self, stream: Stream, offset: int, *, tail: bool = False, limit: int = _PAGE) -> Json:
        asked: Json = {"id": self.id, "what": stream, "limit": limit}
        asked |= {"tail": True} if tail else {"offset": offset}
        asked |= {"attempt": self.attempt} if self.attempt is not None else {}
        return self.client.call("read", asked | ({"grep": self.grep} if self.grep else {}))

    def begin_near_end(self, length: int) -> None:
        """Skip all but the last `length` bytes of each stream."""
        for stream in self.offsets:
            self.offsets[stream] = self.page(stream, 0, tail=True, limit=length).get("offset", 0)

    def print_new(self) -> bool:
        """Print what came since the last time; whether there was anything."""
        lengths = [self._print_stream(stream) for stream in self.offsets]
        return any(lengths)

    def _print_stream(self, stream: Stream) -> bool:
        written = False
        while True:
            page = self.page(stream, self.offsets[stream])
            text = page.get("text", "")
            target: TextIO = sys.stdout if stream == "stdout" else sys.stderr
            target.write(text)
            target.flush()
            written = written or bool(text)
            following = page.get("next_offset")
            if following is None:
                self.offsets[stream] = max(self.offsets[stream], page.get("total", 0))
                return written
            self.offsets[stream] = following


def follow_to_end(reading: Reading, between: Callable[[], None] = lambda: None) -> Json:
    """Print until the task has ended, from one attempt to the next; answers with the task. `between` is called before
    each new look."""
    shown = 0
    waits = _Waits()
    pause = _PAUSES[0]
    pinned = reading.attempt is not None
    while True:
        task = reading.client.call("get", {"id": reading.id})
        number = task.get("attempt", 0)
        if not pinned and number > shown:
            if shown:
                reading.print_new()
                out.aside(f"--- attempt {number} ---")
                reading.offsets = dict.fromkeys(reading.offsets, 0)
            shown = reading.attempt = number
        pause = _PAUSES[0] if number and reading.print_new() else min(pause * 1.5, _PAUSES[1])
        if task["state"] in FINAL:
            break
        waits.tell(task)
        time.sleep(pause)
        between()
    if task["state"] != "succeeded":
        out.aside(f"--- {task['state']}: {note(task)}".rstrip(": ") + " ---")
    return task


class _Waits:
    """Says what a task waits for: not of one that is about to begin anyway, and again only when it is another thing."""

    def __init__(self) -> None:
        self._looks = 0
        self._told = ""

    def tell(self, task: Json) -> None:
        if task["state"] == "running":
            self._looks, self._told = 0, ""
            return
        self._looks += 1
        told = f"{task['state']}: {one_line(for_people(task.get('why', '')))}".rstrip(": ")
        if self._looks > _PATIENCE and _without_figures(told) != _without_figures(self._told):
            out.aside(f"--- {told} ---")
            self._told = told


def _without_figures(text: str) -> str:
    return "".join(sign for sign in text if not (sign.isdigit() or sign == "."))


def _print_json(client: OwnerClient, id: str, streams: list[Stream], attempt: int | None, grep: str | None) -> None:  # noqa: A002 - as above
    """All of both streams in one object."""
    reading = Reading(client, id, attempt, grep)
    found: Json = {"id": id}
    for stream in streams:
        pieces: list[str] = []
        offset: int | None = 0
        while offset is not None:
            page = reading.page(stream, offset)
            pieces.append(page.get("text", ""))
            offset = page.get("next_offset")
            found["attempt"] = page.get("attempt")
        found[stream] = "".join(pieces)
    out.as_json(found)
