"""Views → what an agent reads: small objects without empty fields, and the same in one short line per task.

Times: `…_s` counts seconds (`waited_s` since submission, `ran_s` of running, `starts_in_s` and `lapses_in_s` from now);
`…_at` in the detailed view is ISO 8601 in UTC.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Final, cast

from mcp_scheduler.core.states import FINAL, WAITING
from mcp_scheduler.plaintext import one_line
from mcp_scheduler.views import AttemptView, EtaView, GroupView, TaskView

Json = dict[str, Any]

BRIEF: Final = 400  # characters of one task's status as JSON
LISTED: Final = 50  # tasks in one reply
_VAGUE: Final = 100.0  # times the likely time: a bound so far away says that too little has been learnt
_SOON: Final = 60.0  # seconds: what is over by then may be as vague as it likes
_LONGEST_WORD: Final = 4000  # characters of one value in the text twin
_QUOTED: Final = re.compile(r'[\s"=]')  # what a word of the text twin does not have
_NUMBER: Final = 24  # characters of a float, a truth value or nothing, at most
_TEXTS: Final = ("error", "why", "hint", "progress_text")


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer of a tool: `content` for programs and models, `text` the same data in lines."""

    content: Json
    text: str


_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def compact(value: Any) -> str:
    """JSON without blanks."""
    return _encode(value)


def brief(task: TaskView, now: float, *, result: int = BRIEF) -> Json:
    """A task's status in at most `BRIEF` characters of JSON. Its small result comes along if the whole then has at
    most `result` characters; else its size does."""
    status = _without_empty({
        "id": task.id,
        "state": task.state,
        "group": task.group,
        "attempt": task.attempt if task.attempt > 1 else None,
        "reason": task.reason,
        "error": one_line(task.error, 140),
        "why": one_line(task.why, 140),
        "hint": one_line(task.hint, 140),
        "progress": None if task.progress is None else round(task.progress, 3),
        "progress_text": one_line(task.progress_text, 60),
        **_seconds(task, now),
        "fence": task.fence,
        "rollback": task.rollback,
        "undo": task.undo if task.rollback else "",
        "undoes": task.undoes,
        "cached_from": task.cached_from,
        "eta": eta(task.eta),
        "cancel_requested": task.cancel_requested or None,
        "duplicate": task.duplicate or None,
        "result_bytes": task.result_size if task.has_result else None,
    })  # fmt: skip
    _fit(status)
    if task.variables and len(compact(shown := status | {"variables": task.variables})) <= max(result, BRIEF):
        status = shown
    if task.has_result and task.result is not None:
        whole = {name: value for name, value in status.items() if name != "result_bytes"} | {"result": task.result}
        if _at_most(whole) <= result or len(compact(whole)) <= result:
            return whole
    return status


def detailed(task: TaskView, now: float) -> Json:
    """All that is known of a task, the small result whole."""
    status = brief(task, now, result=0)
    status |= _without_empty({
        "name": task.name,
        "call": one_line(task.call, 300),
        "given": one_line(task.given, 500),
        "cwd": one_line(task.cwd, 300),
        "tags": list(task.tags),
        "priority": task.priority or None,
        "principal": task.principal,
        "error": one_line(task.error, 2000),
        "why": one_line(task.why, 500),
        "hint": one_line(task.hint, 500),
        "max_attempts": task.max_attempts if task.max_attempts > 1 else None,
        "after": list(task.after[:LISTED]),
        "undo": task.undo,
        "submitted_at": moment(task.submitted_at),
        "started_at": moment(task.started_at),
        "ended_at": moment(task.ended_at),
        "due_at": moment(task.due),
        "deadline": moment(task.deadline),
        "attempts": [_attempt(attempt) for attempt in task.attempts[-10:]],
        "decision": [one_line(line, 200) for line in task.decision],
    })  # fmt: skip
    if task.variables:
        status["variables"] = task.variables
    if task.has_result and task.result is not None:
        status["result"] = task.result
        status.pop("result_bytes", None)
    return status


def group_brief(group: GroupView, now: float) -> Json:
    """A group in a few lines: counts, and the first failures."""
    return _without_empty({
        "id": group.id,
        "kind": group.kind,
        "state": group.state,
        "size": group.size,
        "counts": group.counts,
        "items": group.items or None,
        "items_done": group.items_done if group.items else None,
        "chunk": group.chunk or None,
        "stages_done": list(group.stages_done),
        "why": one_line(group.why, 70 if group.hint else 140),
        "hint": one_line(group.hint, 180),
        "eta": eta(group.eta),
        "failures": [brief(task, now) for task in group.failures[:3]],
        "duplicate": group.duplicate or None,
    })  # fmt: skip


def listed(tasks: tuple[TaskView, ...], now: float, *, result: int = 0) -> list[Json]:
    """The first tasks of many, briefly."""
    return [brief(task, now, result=result) for task in tasks[:LISTED]]


def line(status: Mapping[str, Any]) -> str:
    """One status (of a task or a group) as a line."""
    rest = {name: value for name, value in status.items() if name not in ("id", "state")}
    said = " ".join(f"{name}={_word(value)}" for name, value in rest.items())
    return f"{status['id']} {status['state']} {said}".rstrip()


def lines(content: Json) -> str:
    """Any reply as text: one line for each task or other object in it, one for the rest."""
    told: list[str] = []
    rest: Json = {}
    if "id" in content and "state" in content:
        return "\n".join(_status_lines(content, ""))
    for name, value in content.items():
        objects = _objects(value)
        if objects:
            told.append(f"{name}:")
            for one in objects:
                told += _status_lines(one, "- ") if "state" in one else [f"- {_words(one)}"]
        else:
            rest[name] = value
    if rest:
        told.insert(0, _words(rest))
    return "\n".join(told)


def _objects(value: Any) -> list[Json]:
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return [item for item in items if isinstance(item, dict)]


def _status_lines(status: Json, start: str) -> list[str]:
    """A status, and below it what it lists: the failures of a group, the attempts of a task."""
    below = [name for name in ("failures", "tasks", "attempts") if name in status]
    told = [start + line({name: value for name, value in status.items() if name not in below})]
    for name in below:
        told += [f"  {name}: {line(one) if 'state' in one else _words(one)}" for one in status[name]]
    return told


def moment(at: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601."""
    return None if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def eta(found: EtaView | None) -> str | None:
    """`starts in 3 m, done in 10–14 m`: as likely before the first figure as after it, past the second once in ten.
    The second is left out where next to nothing has been learnt."""
    if found is None:
        return None
    if found.end_late > _VAGUE * found.end and found.end_late > _SOON:
        done = f"done in about {span(found.end, found.end)}, which is hardly known yet"
    else:
        done = f"done in {span(found.end, found.end_late)}"
    if found.start is None or found.start < 1.0:
        return done
    return f"starts in {span(found.start, found.start_late or found.start)}, {done}"


def span(early: float, late: float) -> str:
    """Two durations in one unit; each in its own where they are far apart; one where they round to the same."""
    for unit, seconds in (("d", 86400.0), ("h", 3600.0), ("m", 60.0), ("s", 1.0)):
        if late >= seconds * (2.0 if seconds > 1.0 else 0.0):
            if seconds > 1.0 and early < seconds / 2:
                return f"{span(early, early)}–{span(late, late)}"
            first, second = f"{_whole(early / seconds)}", f"{_whole(late / seconds)}"
            return f"{first} {unit}" if first == second else f"{first}–{second} {unit}"
    return "0 s"


def _whole(number: float) -> str:
    return f"{number:.0f}" if number >= 10 else f"{number:.2g}"  # noqa: PLR2004 - two digits are enough


def _seconds(task: TaskView, now: float) -> Json:
    state = task.state
    if state in FINAL:
        return {"ran_s": _tenths(task.seconds)}
    if state in WAITING:
        ahead = None if task.due is None or task.due <= now else _tenths(task.due - now)
        return {"waited_s": _tenths(now - task.submitted_at), "starts_in_s": ahead}
    left = None if task.due is None else _tenths(task.due - now)  # of a lease that is held
    return {"ran_s": None if task.started_at is None else _tenths(now - task.started_at), "lapses_in_s": left}


def _tenths(seconds: float | None) -> float | None:
    if seconds is None:
        return None
    return round(max(seconds, 0.0), 1 if seconds >= 1 else 3)


def _at_most(status: Json) -> int:
    """An upper bound for the characters of JSON, without writing it."""
    return 2 + sum(4 + len(name) + _length(value) for name, value in status.items())


def _length(value: Any) -> int:
    if isinstance(value, str):
        return 2 + len(value) * (2 if value.isprintable() else 6)  # `\"` for a quote, `\u0000` for a control
    if isinstance(value, int):
        return _NUMBER + value.bit_length() // 3
    if value is None or isinstance(value, float):
        return _NUMBER
    return len(compact(value))


def _fit(status: Json) -> None:
    """Shorten the long texts of `status`, the longest first, until it has its size."""
    if _at_most(status) <= BRIEF:
        return
    while (excess := len(compact(status)) - BRIEF) > 0:
        name = max((name for name in _TEXTS if name in status), key=lambda name: len(status[name]), default="")
        if not name:
            status.pop("eta", None)
            if len(compact(status)) > BRIEF:
                status.pop("group", None)
            return
        kept = len(status[name]) - max(excess, 8)
        if kept < 12:  # noqa: PLR2004 - a shorter rest says nothing
            del status[name]
        else:
            status[name] = one_line(status[name], kept)


def _attempt(attempt: AttemptView) -> Json:
    return _without_empty({
        "number": attempt.number,
        "started_at": moment(attempt.started_at),
        "reason": attempt.reason or ("returned" if attempt.returned else None),
        "error": one_line(attempt.error, 200),
        "exit_code": attempt.exit_code,
        "signal": attempt.signal,
        "ran_s": _tenths(attempt.seconds) or None,
        "memory_peak": attempt.memory_peak or None,
        "device_peak": attempt.device_peak or None,
        "stdout_bytes": attempt.stdout_bytes or None,
        "stderr_bytes": attempt.stderr_bytes or None,
        "devices": list(attempt.devices),
    })  # fmt: skip


def _without_empty(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value is not None and value not in ("", [])}


def _words(fields: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={_word(value)}" for name, value in fields.items())


def _word(value: Any) -> str:
    if isinstance(value, str):
        if value and not _QUOTED.search(value):
            return value
    elif type(value) is int or (type(value) is float and isfinite(value)):
        return repr(value)  # as JSON has it
    return one_line(compact(value), _LONGEST_WORD)
