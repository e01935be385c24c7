"""From the core's nouns to values of rows, and back.

The driver is quick with exact str, int, float, bytes and None only: enums and booleans are turned into those.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from dataclasses import fields as dataclass_fields
from functools import lru_cache
from sys import intern
from typing import Any, Final

from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.states import Reason, State
from mcp_scheduler.core.task import NO_EXTRAS, Extras, Kind, Needs, Retry, Status, Task, Terms
from mcp_scheduler.ports import AttemptRow
from mcp_scheduler.store.schema import attempts, tasks

STATE_TEXT: Final = {state: state.value for state in State}
STATES: Final = {state.value: state for state in State}
REASON_TEXT: Final[dict[Reason | None, str | None]] = {None: None, **{reason: reason.value for reason in Reason}}
REASONS: Final[dict[str | None, Reason | None]] = {text: reason for reason, text in REASON_TEXT.items()}

STATUS_AT: Final = 14  # where the status begins in TASK_COLUMNS
TASK_COLUMNS: Final = (
    tasks.c.seq,
    tasks.c.id,
    tasks.c.terms,
    tasks.c.submitted_at,
    tasks.c.name,
    tasks.c.group_id,
    tasks.c.after,
    tasks.c.tags,
    tasks.c.start_after,
    tasks.c.deadline,
    tasks.c.key,
    tasks.c.digest,
    tasks.c.extras,
    tasks.c.size,
    tasks.c.state,
    tasks.c.at,
    tasks.c.number,
    tasks.c.failures,
    tasks.c.losses,
    tasks.c.crashes,
    tasks.c.due,
    tasks.c.held,
    tasks.c.cancel_requested,
    tasks.c.reason,
    tasks.c.error,
    tasks.c.priority,
    tasks.c.memory_retries,
)
ATTEMPT_COLUMNS: Final = (
    attempts.c.number,
    attempts.c.node,
    attempts.c.devices,
    attempts.c.started_at,
    attempts.c.ended_at,
    attempts.c.reason,
    attempts.c.error,
    attempts.c.exit_code,
    attempts.c.signal,
    attempts.c.seconds,
    attempts.c.memory_peak,
    attempts.c.stdout_bytes,
    attempts.c.stderr_bytes,
    attempts.c.fingerprint,
    attempts.c.device_peak,
    attempts.c.returned,
)


def storable(text: str) -> str:
    """What a process printed may hold lone surrogates, which no database text can."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def names_text(names: Sequence[str]) -> str | None:
    return json.dumps(names, ensure_ascii=False) if names else None


@lru_cache(maxsize=4096)
def names_from(text: str | None) -> tuple[str, ...]:
    """The list that `names_text` wrote. Tasks of one map share their tags: one tuple for all."""
    return tuple(json.loads(text)) if text else ()


def terms_text(terms: Terms) -> str:
    """Every field, defaults too: a later version's defaults must not change what is stored."""
    fields = asdict(terms)
    fields["retry"]["on"] = sorted(fields["retry"]["on"])
    return json.dumps(fields, sort_keys=True, separators=(",", ":"))


_TERMS_FIELDS: Final = frozenset(field.name for field in dataclass_fields(Terms))


def terms_from(text: str) -> Terms:
    """A field that this version does not know any more is passed over."""
    fields: dict[str, Any] = json.loads(text)
    needs, retry = fields.pop("needs"), fields.pop("retry")
    needs["amounts"] = tuple((intern(name), amount) for name, amount in needs["amounts"])
    retry["on"] = frozenset(map(Reason, retry["on"]))
    fields |= {"kind": Kind(fields["kind"]), "needs": Needs(**needs), "retry": Retry(**retry)}
    return Terms(**{name: value for name, value in fields.items() if name in _TERMS_FIELDS})


_EXTRAS: Final[dict[str, Any]] = {field.name: field.default for field in dataclass_fields(Extras)}


def extras_text(extras: Extras) -> str | None:
    """What differs from the defaults; None for nothing."""
    if extras is NO_EXTRAS:
        return None
    told = {name: value for name, plain in _EXTRAS.items() if (value := getattr(extras, name)) != plain}
    return storable(json.dumps(told, ensure_ascii=False)) if told else None


@lru_cache(maxsize=4096)
def extras_from(text: str | None) -> Extras:
    """A field that this version does not know any more is passed over; lists are tuples in the core."""
    if not text:
        return NO_EXTRAS
    told: dict[str, Any] = json.loads(text)
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(_EXTRAS[name], tuple) else value
        for name, value in told.items()
        if name in _EXTRAS
    }
    return Extras(**fields)


class TaskReader:
    """Builds tasks from rows of TASK_COLUMNS, compactly: what neighbours have in common is one object."""

    def __init__(self, terms: Mapping[int, Terms]) -> None:
        self._terms = terms
        self._columns: Sequence[Any] = ()
        self._status: Status | None = None
        self._submitted_at = -1.0

    def task(self, row: Sequence[Any]) -> Task:
        (
            seq, name_id, terms, submitted_at, name, group, after, tags, start_after, deadline, key, digest, extras,
            size,
        ) = row[:STATUS_AT]  # fmt: skip
        if submitted_at == self._submitted_at:
            submitted_at = self._submitted_at
        self._submitted_at = submitted_at
        return Task(
            name_id,
            seq,
            self._terms[terms],
            submitted_at,
            self._status_of(row[STATUS_AT:]),
            intern(name),
            intern(group),
            names_from(after),
            names_from(tags),
            start_after or 0.0,
            deadline,
            key,
            digest,
            extras_from(extras),
            size,
        )

    def _status_of(self, columns: Sequence[Any]) -> Status:
        """A status is never touched once it is made: equal neighbours share it."""
        if self._status is None or columns != self._columns:
            self._columns, self._status = columns, status_from(columns)
        return self._status


def status_from(columns: Sequence[Any]) -> Status:
    state, at, number, failures, losses, crashes, due, held, cancel_requested, reason, error, *last = columns
    priority, memory_retries = last
    return Status(
        STATES[state],
        at,
        number,
        failures,
        losses,
        crashes,
        due or 0.0,
        bool(held),
        bool(cancel_requested),
        REASONS[reason],
        error,
        priority,
        memory_retries,
    )


def attempt_from(task: str, row: Sequence[Any]) -> AttemptRow:
    number, node, devices, started_at, ended_at, reason, *rest, returned = row
    error, exit_code, signal, seconds, memory_peak, stdout_bytes, stderr_bytes, fingerprint, device_peak = rest
    return AttemptRow(
        id=AttemptId(task, number),
        node=node,
        devices=names_from(devices),
        started_at=started_at,
        ended_at=ended_at,
        reason=REASONS[reason],
        error=error,
        exit_code=exit_code,
        signal=signal,
        seconds=seconds,
        memory_peak=memory_peak,
        stdout_bytes=stdout_bytes,
        stderr_bytes=stderr_bytes,
        fingerprint=fingerprint,
        returned=bool(returned),
        device_peak=device_peak,
    )
