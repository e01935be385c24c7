"""Numbers and texts as a person reads them. Pure: what is shown never depends on where it is shown."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Final

Json = dict[str, Any]

FINAL: Final = frozenset({"succeeded", "failed", "cancelled", "skipped"})  # the states in which a task has ended

_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x1f\x7f-\x9f]+")
_VERBS: Final = {
    "submit_task": "submit", "submit_graph": "graph", "map_task": "map", "wait_for_tasks": "wait", "get_task": "show",
    "list_tasks": "list", "read_output": "logs", "cancel_task": "cancel", "get_node_load": "nodes",
    "list_functions": "functions", "plan_tasks": "plan",
}  # fmt: skip
_TOOL: Final = re.compile(rf"\b({'|'.join(_VERBS)}|update_task (hold|resume|retry))\b")
_SIZES: Final = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
_SHORTEST: Final = 0.001
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400


def for_people(text: str) -> str:
    """The engine's advice with verbs in place of MCP's tools: `list_tasks` → `mcp-scheduler list`."""
    return _TOOL.sub(lambda found: f"`mcp-scheduler {_VERBS.get(found[1]) or found[2]}`", text)


def printable(text: str) -> str:
    """`text` without control sequences but with its own spaces: a line of a traceback, say."""
    return _CONTROL.sub(" ", text)


def one_line(text: str, limit: int = 0) -> str:
    """`text` on one line, without control sequences: what a task wrote must not steer the reader's terminal."""
    line = " ".join(printable(text).split())
    return line if not limit or len(line) <= limit else line[: limit - 1] + "…"


def duration(seconds: float | None) -> str:
    """340 ms · 12.3 s · 4m05s · 1h02m · 2d03h"""
    if seconds is None:
        return ""
    if seconds < 1:
        return "<1 ms" if seconds < _SHORTEST else f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    return _long(int(seconds))


def _long(whole: int) -> str:
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02d}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02d}m"
    return f"{whole // _DAY}d{whole % _DAY // _HOUR:02d}h"


def age(seconds: float) -> str:
    """How long ago, in one unit: 5s · 3m · 2h · 4d"""
    whole = max(0, int(seconds))
    for unit, length in (("d", _DAY), ("h", _HOUR), ("m", _MINUTE)):
        if whole >= length:
            return f"{whole // length}{unit}"
    return f"{whole}s"


def size(count: float) -> str:
    """512 B · 1.5 MiB · 24 GiB"""
    for unit, length in _SIZES:
        if count >= length:
            return f"{count / length:.1f}".removesuffix(".0") + f" {unit}"
    return f"{count:.0f} B"


def number(value: float) -> str:
    """4 · 0.5 · 1.25"""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def amount(name: str, value: float) -> str:
    """An amount of a resource in its unit: memory in bytes, everything else as a plain number."""
    return size(value) if "memory" in name else number(value)


def clock(moment: float | None) -> str:
    """A moment (seconds since the epoch) as local date and time."""
    return "" if moment is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))


def counted(counts: Mapping[str, int]) -> str:
    """3 running, 12 queued; states without tasks are left out."""
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count)


def plural(count: int, noun: str) -> str:
    """1 task · 2 tasks"""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def took(task: Json, now: float) -> str:
    """How long the task's last attempt ran, or has been running."""
    if task.get("seconds") is not None:
        return duration(task["seconds"])
    started = task.get("started_at")
    return duration(max(0.0, (task.get("ended_at") or now) - started)) if started is not None else ""


def note(task: Json) -> str:
    """What to know about the task right now: its progress, why it waits, or what went wrong."""
    if task.get("cancel_requested"):
        return "cancel requested"
    parts: list[str] = []
    if task.get("progress") is not None:
        parts.append(f"{task['progress'] * 100:.0f} %")
    if task.get("progress_text"):
        parts.append(task["progress_text"])
    reason, error = task.get("reason"), task.get("error")
    if reason and not error:
        parts.append(str(reason))
    elif reason and reason not in ("error", task["state"]):  # an error and a state speak for themselves
        parts.append(f"{reason}:")
    parts.extend(str(text) for text in (error, "" if error else for_people(task.get("why", ""))) if text)
    return one_line(" ".join(parts))


def eta(task: Json) -> str:
    """In what time it is expected to be done: as "12.0 s to 14.1 s", of which the second is passed one time in ten; ""
    where that is not known."""
    found = task.get("eta")
    if not found:
        return ""
    early, late = duration(found["end"]), duration(found["end_late"])
    return early if early == late else f"{early} to {late}"
