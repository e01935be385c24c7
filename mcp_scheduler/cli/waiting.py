"""wait: until tasks have ended. An engine that dies meanwhile is replaced by the next: the client sees to that."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated, Final

import typer

from mcp_scheduler.cli import arguments, options, out
from mcp_scheduler.cli.connect import engine
from mcp_scheduler.cli.failures import INTERRUPTED, SUCCESS, TASK_FAILED, TIME_UP
from mcp_scheduler.cli.text import Json, counted, for_people, note, one_line, plural, took
from mcp_scheduler.owner import OwnerClient

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

_QUIET: Final = 30.0  # seconds of one question to the engine when nobody looks
_LIVE: Final = 0.5  # and when somebody does
_GOING_ON: Final = ("running", "held")  # states of a group that has not ended
_SHOWN: Final = 12  # waiting tasks on the screen
_SAID: Final = 300  # characters of a result or an error on its line
_BARS: Final = (
    (80, 16),
    (60, 8),
    (0, 0),
)  # columns of a terminal, and how many characters a progress bar has there


def wait(
    ids: options.TaskIds,
    any_of: Annotated[bool, typer.Option("--any", help="Until the first of them has ended.")] = False,
    timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="Give up after this: 90s, 5m. Default: never.")
    ] = None,
    *,
    as_json: options.AsJson = False,
    home: options.Home = None,
) -> int:
    """Wait for tasks or groups. Exit code: 0 all succeeded, 1 some did not, 124 time is up.

    Ctrl-C ends the waiting, not the tasks.
    """
    until = None if timeout is None else time.monotonic() + arguments.seconds(timeout, "--timeout")
    with engine(home) as client:
        return follow(client, Wanted(tuple(ids), any_of=any_of, until=until), as_json=as_json)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is waited for. `until` is on the monotonic clock, None = as long as it takes."""

    ids: tuple[str, ...]
    any_of: bool = False
    until: float | None = None

    def left(self, most: float) -> float:
        """Seconds to wait in one question, at most `most`."""
        return most if self.until is None else max(0.0, min(most, self.until - time.monotonic()))

    def is_over(self) -> bool:
        return self.until is not None and time.monotonic() >= self.until


@dataclass(slots=True)
class Seen:
    """What is known so far of the tasks that are waited for."""

    done: dict[str, Json] = field(default_factory=dict[str, Json])
    groups: dict[str, Json] = field(default_factory=dict[str, Json])
    waiting: list[Json] = field(default_factory=list[Json])
    remaining: int = 0
    complete: bool = False

    def learn(self, report: Json, ids: Sequence[str]) -> list[Json]:
        """Take in a report about `ids`; answers with the tasks that it tells for the first time. Ends are told by the
        page: of groups, whose tasks `ids` does not name, all are known only when no more come."""
        fresh = [task for task in report.get("done", []) if task["id"] not in self.done]
        self.done |= {task["id"]: task for task in fresh}
        self.groups |= {group["id"]: group for group in report.get("groups", [])}
        self.waiting = report.get("waiting", [])
        self.remaining = report["remaining"]
        all_told = not fresh or all(name in self.done for name in ids)
        self.complete = self.remaining == 0 and all_told  # `complete` of the report itself says that it has news
        return fresh

    def ended(self, ids: Sequence[str]) -> dict[str, str]:
        """The final states of those of `ids` (tasks and groups) that have ended."""
        found = {name: self.done[name]["state"] for name in ids if name in self.done}
        for name in ids:
            state = self.groups.get(name, {}).get("state", "running")
            if state not in _GOING_ON:
                found[name] = state
        return found


def follow(client: OwnerClient, wanted: Wanted, *, as_json: bool = False) -> int:
    """Wait and tell what ends; answers with the exit code of `wait`."""
    live = out.on_terminal() and not as_json
    seen = Seen()
    try:
        with _screen() if live else nullcontext() as screen:
            for fresh in _reports(client, wanted, seen, _LIVE if live else _QUIET):
                if not as_json:
                    _tell(fresh, wanted, screen)
                if screen is not None:
                    screen.update(_picture(seen), refresh=True)
    except KeyboardInterrupt:
        out.aside(f"Stopped waiting; the tasks go on. Wait again: mcp-scheduler wait {' '.join(wanted.ids)}")
        return INTERRUPTED
    if as_json:
        out.as_json(_summary(seen))
    else:
        _tell_groups(seen, wanted)
    return _exit_code(seen, wanted, as_json)


def _reports(client: OwnerClient, wanted: Wanted, seen: Seen, pause: float) -> Iterator[list[Json]]:
    """Ask until it is over."""
    cursor: str | None = None
    while True:
        asked: Json = {"ids": list(wanted.ids), "mode": "next", "timeout": wanted.left(pause)}
        report = client.call("wait", asked | ({"cursor": cursor} if cursor else {}))
        cursor = report.get("cursor")
        yield seen.learn(report, wanted.ids)
        if seen.complete or (wanted.any_of and seen.ended(wanted.ids)) or wanted.is_over():
            return


def _exit_code(seen: Seen, wanted: Wanted, as_json: bool) -> int:
    ended = seen.ended(wanted.ids)
    if not (seen.complete or (wanted.any_of and ended)):
        if not as_json:
            out.aside(f"Time is up; still to come: {plural(max(seen.remaining, 1), 'task')}.")
        return TIME_UP
    come = ("succeeded", "running")  # a lease has come when it is granted
    return SUCCESS if all(state in come for state in ended.values()) else TASK_FAILED


def _summary(seen: Seen) -> Json:
    return {
        "complete": seen.complete,
        "done": list(seen.done.values()),
        "groups": list(seen.groups.values()),
        "waiting": seen.waiting,
        "remaining": seen.remaining,
    }


def _tell(fresh: Sequence[Json], wanted: Wanted, screen: Live | None) -> None:
    """A line for each task that has ended; of a group's members only for those that went wrong."""
    for task in fresh:
        if task["state"] == "succeeded" and task["id"] not in wanted.ids:
            continue
        line = f"{task['id']} {task['state']}"
        if spent := took(task, task.get("ended_at") or 0):
            line += f" in {spent}"
        if said := one_line(note(task), _SAID) or _result(task):
            line += f": {said}"
        if screen is None:
            out.line(line)
        else:
            screen.console.print(line, soft_wrap=True)
    out.flush()


def _result(task: Json) -> str:
    return one_line(json.dumps(task["result"], ensure_ascii=False), _SAID) if task.get("result") is not None else ""


def _tell_groups(seen: Seen, wanted: Wanted) -> None:
    for id in wanted.ids:  # noqa: A001 - the word of every request
        if id in seen.groups:
            group = seen.groups[id]
            out.line(f"{id} {group['state']}: {counted(group.get('counts', {}))}")


@contextmanager
def _screen() -> Generator[Live]:
    from rich.live import Live  # noqa: PLC0415 - only a terminal is worth it

    from mcp_scheduler.cli.tables import console  # noqa: PLC0415 - as above

    with Live(console=console(), auto_refresh=False, transient=True) as live:
        yield live


def _picture(seen: Seen) -> Group:
    """What is still to come: groups and tasks with a bar where one has told its progress."""
    from rich.console import Group  # noqa: PLC0415 - as in `_screen`

    from mcp_scheduler.cli.tables import Column, drawn  # noqa: PLC0415 - as above

    now = time.time()  # noqa: TID251 - a person's clock: outside the engine
    rows = [
        (group["id"], group["state"], "", _bar(_share(group)), counted(group.get("counts", {})))
        for group in seen.groups.values()
        if group["state"] == "running"
    ]
    rows += [
        (task["id"], task["state"], took(task, now), _bar(task.get("progress")), one_line(_text(task)))
        for task in seen.waiting[:_SHOWN]
    ]
    columns = (Column("ID"), Column("STATE"), Column("TIME", right=True), Column("PROGRESS"), Column("NOTE", cut=True))
    last = f"{plural(seen.remaining, 'task')} to come, {len(seen.done)} ended · Ctrl-C stops waiting, not the tasks"
    return Group(drawn(columns, rows), last) if rows else Group(last)


def _text(task: Json) -> str:
    return task.get("progress_text") or for_people(task.get("why", ""))


def _share(group: Json) -> float:
    counts = group.get("counts", {})
    ended = sum(counts.get(state, 0) for state in ("succeeded", "failed", "cancelled", "skipped"))
    return ended / max(1, group["size"])


def _bar(share: float | None) -> str:
    if share is None:
        return ""
    columns = get_terminal_size().columns
    length = next(length for least, length in _BARS if columns >= least)
    full = round(max(0.0, min(1.0, share)) * length)
    return "━" * full + "╌" * (length - full) + f" {share * 100:3.0f} %"
