"""The same store without a file: for tests, the simulator, and an engine that need not survive.

It keeps copies, as a file would: what the caller does with its tasks later changes nothing here. It outlives `close`,
and a second `open` without one is a start after a crash.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

from mcp_scheduler.core.changes import Changes, Remembered
from mcp_scheduler.core.events import Ended, Group, Origin
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Attempt
from mcp_scheduler.core.states import State
from mcp_scheduler.core.task import Status, Task
from mcp_scheduler.errors import InvariantBroken, StoreUnavailable
from mcp_scheduler.ports import AttemptRow, Boot, Pruned, Result, TaskQuery
from mcp_scheduler.store.pruning import REPEATED_WITHIN
from mcp_scheduler.store.rows import storable
from mcp_scheduler.store.writing import moment, results_of

_NOTHING: Final = Result(None, "", 0)


@dataclass(slots=True)
class _Run:
    attempt: Attempt
    row: AttemptRow

    @property
    def open(self) -> bool:
        return self.row.ended_at is None


@dataclass(slots=True)
class _Row:
    task: Task
    payload: bytes
    result: Result = _NOTHING
    runs: dict[int, _Run] = field(default_factory=dict[int, _Run])

    @property
    def ended_at(self) -> float | None:
        return self.task.status.at if self.task.status.is_final else None


class MemoryStore:
    """`ports.Store` in memory, with the guards of the durable one."""

    schema: int = 0

    def __init__(self) -> None:
        self._rows: dict[str, _Row] = {}
        self._seqs: set[int] = set()
        self._keys: dict[tuple[str, str], str] = {}
        self._groups: dict[str, Group] = {}
        self._told: dict[Origin, tuple[Remembered, float]] = {}
        self._settings: dict[str, str] = {}
        self._pruned = Pruned()
        self._forecasts: dict[str, str] = {}
        self._next_seq = 1
        self._clean = True
        self._open = False
        self._latest = 0.0

    async def open(self) -> Boot:
        clean, self._clean, self._open = self._clean, False, True
        unfinished = [row for row in self._in_order() if row.ended_at is None]
        ended = (row for row in self._in_order() if row.ended_at is not None)
        unfinished += [row for row in ended if any(run.open for run in row.runs.values())]
        runs = [run.attempt for row in self._in_order() for run in row.runs.values() if run.open]
        return Boot([replace(row.task) for row in unfinished], runs, self._next_seq, clean, self._latest)

    async def commit(self, changes: Changes) -> None:
        self._check_open()
        _Guard(self._rows, self._seqs, self._keys, self._groups, self._told).check(changes)
        self._latest = moment(changes, self._latest)
        self._apply(changes)

    def _apply(self, changes: Changes) -> None:
        """Nothing here can fail: everything was looked at before."""
        self._groups.update((group.id, group) for group in changes.groups)
        self._add(changes)
        self._run_attempts(changes)
        outcomes = results_of(changes)
        for name, status in changes.statuses.items():
            row, outcome = self._rows[name], outcomes.get(name)
            row.task.status = replace(status, error=storable(status.error))
            row.result = _NOTHING
            if outcome is not None:
                size = outcome.result_size or len(outcome.result or b"")
                row.result = Result(outcome.result, outcome.result_file, size)
        for name, deadline in changes.deadlines.items():
            self._rows[name].task.deadline = deadline
        for name, extras in changes.extras.items():
            self._rows[name].task.extras = extras
        for name, terms in changes.terms.items():
            self._rows[name].task.terms = terms
        self._told.update((told.origin, (told, self._latest)) for told in changes.remembered)

    def _add(self, changes: Changes) -> None:
        for new in changes.added:
            status = new.task.status
            task = replace(new.task, name=storable(new.task.name), status=replace(status, error=storable(status.error)))
            payload = self._rows[new.like].payload if new.like else bytes(new.payload)
            row = self._rows[task.id] = _Row(task, payload)
            if new.result_of:
                row.result = self._rows[new.result_of].result
            self._seqs.add(task.seq)
            self._next_seq = max(self._next_seq, task.seq + 1)
            if task.key:
                self._keys[task.terms.principal, task.key] = task.id

    def _run_attempts(self, changes: Changes) -> None:
        for attempt in changes.started:
            self._rows[attempt.id.task].runs[attempt.id.number] = _Run(attempt, _started(attempt))
        for ended in changes.ended:
            run = self._run(ended.attempt)
            run.row = _ended(run.row, ended)
        for attempt_id in changes.returned:
            status = changes.statuses.get(attempt_id.task)
            run = self._run(attempt_id)
            run.row = replace(run.row, ended_at=self._latest if status is None else status.at, returned=True)

    def _run(self, attempt: AttemptId) -> _Run:
        return self._rows[attempt.task].runs[attempt.number]

    async def tasks(self, ids: Sequence[str]) -> dict[str, Task]:
        return {name: replace(row.task) for name, row in self._named(ids)}

    async def payloads(self, ids: Sequence[str]) -> dict[str, bytes]:
        return {name: row.payload for name, row in self._named(ids)}

    async def results(self, ids: Sequence[str]) -> dict[str, Result]:
        return {name: row.result for name, row in self._named(ids)}

    async def named_results(self, files: Sequence[str]) -> set[str]:
        self._check_open()
        return {row.result.file for row in self._rows.values() if row.result.file}.intersection(files)

    async def attempts(self, ids: Sequence[str]) -> dict[str, list[AttemptRow]]:
        runs = {name: sorted(row.runs.items(), key=_first) for name, row in self._named(ids) if row.runs}
        return {name: [run.row for _, run in found] for name, found in runs.items()}

    async def find(self, query: TaskQuery) -> list[Task]:
        found = (row.task for row in self._in_order(newest_first=True) if query.matches(row.task))
        return [replace(task) for task in islice(found, query.limit)]

    async def counts(self) -> dict[State, int]:
        self._check_open()
        found: dict[State, int] = {}
        for row in self._rows.values():
            found[row.task.status.state] = found.get(row.task.status.state, 0) + 1
        return found

    async def group(self, group: str) -> Group | None:
        self._check_open()
        return self._groups.get(group)

    async def members(self, group: str) -> list[Task]:
        return [replace(row.task) for row in self._in_order() if group and row.task.group == group]

    async def equal(self, fingerprints: Mapping[str, str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for row in self._in_order():
            task = row.task
            run = next(filter(_has_succeeded, row.runs.values()), None)
            if not task.digest or task.digest not in fingerprints or run is None:
                continue
            if task.status.state is State.SUCCEEDED and run.row.fingerprint == fingerprints[task.digest]:
                found[task.digest] = task.id
        return found

    async def by_key(self, principal: str, key: str) -> Task | None:
        self._check_open()
        name = self._keys.get((principal, key))
        return replace(self._rows[name].task) if name is not None else None

    async def remembered(self, origin: Origin) -> Remembered | None:
        self._check_open()
        told = self._told.get(origin)
        return told[0] if told is not None else None

    async def setting(self, name: str) -> str | None:
        self._check_open()
        return self._settings.get(name)

    async def set_setting(self, name: str, value: str) -> None:
        self._check_open()
        self._settings[name] = value

    async def forecasts(self) -> dict[str, str]:
        self._check_open()
        return dict(self._forecasts)

    async def keep_forecasts(self, rows: Mapping[str, str | None]) -> None:
        self._check_open()
        for key, body in rows.items():
            if body is None:
                self._forecasts.pop(key, None)
            else:
                self._forecasts[key] = body

    async def prune(self, *, ended_before: float, keep: int, limit: int = 500) -> Pruned:
        self._check_open()
        finished = sorted(
            (ended, row.task.seq, row) for row in self._rows.values() if (ended := row.ended_at) is not None
        )
        wanted = {name for row in self._rows.values() if row.ended_at is None for name in row.task.after}
        too_many = len(finished) - keep
        removed = [
            row
            for place, (ended, _, row) in enumerate(finished)
            if (ended < ended_before or place < too_many)
            and row.task.id not in wanted
            and not any(run.open for run in row.runs.values())
        ][:limit]
        for row in removed:
            del self._rows[row.task.id]
            self._seqs.discard(row.task.seq)
            self._keys.pop((row.task.terms.principal, row.task.key), None)
        self._drop_groups({row.task.group for row in removed})
        self._forget_requests(ended_before, keep, 2 * limit)
        kept = {row.result.file for row in self._rows.values()}
        files = {row.result.file for row in removed} - kept - {""}
        states = tuple(row.task.status.state for row in removed)
        pruned, before = Pruned(tuple(row.task.id for row in removed), tuple(sorted(files)), states), self._pruned
        self._pruned = Pruned(before.tasks + pruned.tasks, before.result_files + pruned.result_files)
        return pruned

    async def pruned(self) -> Pruned:
        self._check_open()
        return self._pruned

    async def forget_pruned(self) -> None:
        self._check_open()
        self._pruned = Pruned()

    def _forget_requests(self, before: float, keep: int, limit: int) -> None:
        times = sorted((at for _, at in self._told.values()), reverse=True)
        if len(times) > keep:
            before = max(before, min(times[keep], times[0] - REPEATED_WITHIN))
        for origin in [origin for origin, (_, at) in self._told.items() if at < before][:limit]:
            del self._told[origin]

    def _drop_groups(self, named: Iterable[str]) -> None:
        living = {row.task.group for row in self._rows.values()}
        for group in named:
            if group not in living:
                self._groups.pop(group, None)

    async def checkpoint(self) -> None:
        self._check_open()

    async def close(self) -> None:
        if self._open:
            self._open, self._clean = False, True

    def _named(self, ids: Sequence[str]) -> list[tuple[str, _Row]]:
        self._check_open()
        return [(name, self._rows[name]) for name in dict.fromkeys(ids) if name in self._rows]

    def _in_order(self, *, newest_first: bool = False) -> list[_Row]:
        self._check_open()
        return sorted(self._rows.values(), key=lambda row: row.task.seq, reverse=newest_first)

    def _check_open(self) -> None:
        if not self._open:
            raise StoreUnavailable("The store is not open.")


@dataclass(slots=True)
class _Guard:
    """What the durable store's statements refuse, looked at before anything is changed."""

    rows: dict[str, _Row]
    seqs: set[int]
    keys: dict[tuple[str, str], str]
    groups: dict[str, Group]
    told: dict[Origin, tuple[Remembered, float]]

    def check(self, changes: Changes) -> None:
        self._check_new(changes)
        added = {new.task.id for new in changes.added}
        started = [attempt.id for attempt in changes.started]
        for attempt in started:
            known = attempt.task in added or attempt.task in self.rows
            _demand(known and not self._has(attempt), f"Attempt {attempt} cannot be started.")
        _demand(len(set(started)) == len(started), "An attempt was started twice.")
        closed = [*(ended.attempt for ended in changes.ended), *changes.returned]
        for attempt in closed:
            _demand(attempt in started or self._is_open(attempt), f"Attempt {attempt} is not open.")
        _demand(len(set(closed)) == len(closed), "An attempt was ended twice.")
        for name, status in changes.statuses.items():
            row = self.rows.get(name)
            lawful = row is not None and _may_change(row.task.status, status)
            _demand(lawful or name in added, f"The status change of {name} to {status.state} is not lawful.")
        for name in changes.deadlines:
            _demand(name in self.rows or name in added, f"A deadline was set of {name}, which is unknown.")
        for name in changes.terms:
            _demand(name in self.rows or name in added, f"Other terms were given to {name}, which is unknown.")

        for name in changes.extras:
            _demand(name in self.rows or name in added, f"Extras were set of {name}, which is unknown.")

    def _check_new(self, changes: Changes) -> None:
        tasks = [new.task for new in changes.added]
        names = [task.id for task in tasks]
        keys = [(task.terms.principal, task.key) for task in tasks if task.key]
        groups = [group.id for group in changes.groups]
        told = [one.origin for one in changes.remembered]
        for like in (new.like for new in changes.added if new.like):
            _demand(like in self.rows or like in names, f"A task is like {like}, which is unknown.")
        for source in (new.result_of for new in changes.added if new.result_of):
            has_one = source in self.rows and self.rows[source].task.status.state is State.SUCCEEDED
            _demand(has_one, f"A task has the result of {source}, which has none.")
        _demand(_all_new(names, self.rows), "A task of this id is there already.")
        _demand(_all_new([task.seq for task in tasks], self.seqs), "A task of this arrival number is there already.")
        _demand(_all_new(keys, self.keys), "A task of this key is there already.")
        _demand(_all_new(groups, self.groups), "A group of this id is there already.")
        _demand(_all_new(told, self.told), "This request was remembered already.")

    def _has(self, attempt: AttemptId) -> bool:
        row = self.rows.get(attempt.task)
        return row is not None and attempt.number in row.runs

    def _is_open(self, attempt: AttemptId) -> bool:
        return self._has(attempt) and self.rows[attempt.task].runs[attempt.number].open


def _all_new(wanted: Sequence[object], known: Container[object]) -> bool:
    return len(set(wanted)) == len(wanted) and not any(one in known for one in wanted)


def _demand(lawful: bool, story: str) -> None:
    if not lawful:
        raise InvariantBroken(story)


def _may_change(old: Status, new: Status) -> bool:
    """As `statements` has it: success is for ever, another end can be retried, the number never falls."""
    if new.number < old.number:
        return False
    if not old.is_final:
        return True
    again = new.state is not State.RUNNING or new.number > old.number
    return State.SUCCEEDED not in (old.state, new.state) and again


def _started(attempt: Attempt) -> AttemptRow:
    return AttemptRow(
        id=attempt.id,
        node=attempt.node,
        devices=attempt.devices,
        started_at=attempt.at,
        ended_at=None,
        reason=None,
        error="",
        exit_code=None,
        signal=None,
        seconds=0.0,
        memory_peak=0,
        stdout_bytes=0,
        stderr_bytes=0,
        fingerprint="",
        returned=False,
    )


def _ended(row: AttemptRow, ended: Ended) -> AttemptRow:
    outcome = ended.outcome
    return replace(
        row,
        ended_at=ended.at,
        reason=outcome.reason,
        error=storable(outcome.error),
        exit_code=outcome.exit_code,
        signal=outcome.signal,
        seconds=outcome.seconds,
        memory_peak=outcome.memory_peak,
        stdout_bytes=outcome.stdout_bytes,
        stderr_bytes=outcome.stderr_bytes,
        fingerprint=outcome.fingerprint,
        device_peak=outcome.device_peak,
    )


def _has_succeeded(run: _Run) -> bool:
    return not run.open and run.row.reason is None and not run.row.returned


def _first(item: tuple[int, _Run]) -> int:
    return item[0]
