"""Read models: a task as its owner sees it, and the sentences that say why it waits or what to do about its end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from mcp_scheduler.core import leases, rates
from mcp_scheduler.core.admission import admission, advice
from mcp_scheduler.core.changes import Changes
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.events import Ended
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Attempt
from mcp_scheduler.core.rollback import FAILED
from mcp_scheduler.core.slots import DEVICES
from mcp_scheduler.core.states import FINAL, Reason, State
from mcp_scheduler.core.task import Kind, Status, Task
from mcp_scheduler.ports import AttemptRow, Clock, Progress, Result
from mcp_scheduler.service import copies
from mcp_scheduler.service.alerts import distrust, pool_of
from mcp_scheduler.service.compose import counted
from mcp_scheduler.service.contention import why_behind, why_blocked
from mcp_scheduler.service.devices import asked, why_not
from mcp_scheduler.service.explaining import why_pinned
from mcp_scheduler.service.groups import Tally
from mcp_scheduler.service.last_runs import LastRun, LastRuns
from mcp_scheduler.service.outlook import Outlook
from mcp_scheduler.service.shown import ShownViews
from mcp_scheduler.service.spans import span
from mcp_scheduler.views import AttemptView, EtaView, TaskView

SMALL_RESULT: Final = 1024  # bytes; larger results are read by read_output
_SHOWN: Final = 3  # names in a sentence
_GOES_ON: Final = (State.QUEUED, State.RUNNING)  # whatever went wrong before
_PLAIN: Final = {
    State.HELD: "held back; update_task resume lets it go on",
    State.ROLLING_BACK: "has failed; its rollback is under way",
}
_LAPSED: Final = "Lease it again, and renew it in time: update_task renew; or ask for a longer timeout."
_SKIPPED: Final = "First update_task retry what it waited for, then this one."
_UNDONE: Final = "It was rolled back. Mend the cause, then submit it anew: update_task retry does not run it again."
_HALF_UNDONE: Final = (
    "Its rollback failed: list_tasks with states [failed] shows which …-undo; mend its cause, then retry that one."
)
_SKIPPED_FOR_GOOD: Final = "What it waited for was rolled back: submit them anew."
_LOOKED_AT: Final = 100  # dependencies
LEASE_VARIABLE: Final = "MCP_SCHEDULER_LEASE"  # tells what a process uses of a device from a stranger's use

HINTS: Final[dict[Reason, str]] = {
    Reason.ERROR: "Read its stderr with read_output; mend the cause, then update_task retry, or submit it with retry.",
    Reason.TIMEOUT: "Submit it with a longer timeout, or in smaller pieces.",
    Reason.IDLE_TIMEOUT: "It printed nothing for too long; see its output, then submit it with a longer idle_timeout.",
    Reason.OUT_OF_MEMORY: "Submit it with more memory in needs, or in smaller pieces.",
    Reason.CRASHED: "Its process died without a result. Submit it with retry if it may run twice.",
    Reason.POISONED: "It crashed three times: it is not tried again by itself. update_task retry starts anew.",
    Reason.LOST: "Nobody can say how far it came. If it may run twice, submit it with retry or declare it idempotent.",
    Reason.REJECTED: "It could not be started as described: see the error.",
    Reason.EXPIRED: "Its time ran out before it could start.",
}


class Look:
    """Builds views from memory; only the details of old tasks come from the store."""

    def __init__(self, cluster: Cluster, progress: dict[str, Progress], clock: Clock) -> None:
        self._cluster = cluster
        self._progress = progress
        self._clock = clock
        self.visibility: Callable[[Sequence[str]], Mapping[str, str]] = _no_variables
        self.hangs: Callable[[AttemptId], str] = lambda _: ""
        self.outlook = Outlook(cluster, clock)
        self._runs = LastRuns()
        self._started: dict[AttemptId, float] = {}
        self._shown = ShownViews()

    def committed(self, changes: Changes) -> None:
        """Remember the last run of what has ended."""
        self._shown.turned()
        for attempt in changes.started:
            self._started[attempt.id] = attempt.at
        for attempt_id in changes.returned:
            self._started.pop(attempt_id, None)
        for ended in changes.ended:
            outcome = ended.outcome
            started = self._started.pop(ended.attempt, ended.at - outcome.seconds)
            if self._has_lost(ended):
                continue
            self._runs.keep(ended.attempt.task, LastRun(started, ended.at, outcome))

    def _has_lost(self, ended: Ended) -> bool:
        """Whether another copy has come first: then that one tells how the task has ended."""
        task = self._cluster.tasks.get(ended.attempt.task)
        return task is not None and task.status.state is State.SUCCEEDED and ended.outcome.reason is not None

    def last_run(self, task_id: str) -> LastRun | None:
        return self._runs.of(task_id)

    def task(
        self,
        task: Task,
        *,
        result: Result | None = None,
        attempts: list[AttemptRow] | None = None,
        duplicate: bool = False,
        detail: bool = False,
    ) -> TaskView:
        """The view of one task. `result` and `attempts` are what the store knows, where that was asked for."""
        if result is not None or attempts is not None or duplicate or detail:
            return self._view(task, result, attempts, duplicate=duplicate, detail=detail)
        return self._plain(task, self._clock.now())

    def tasks(self, tasks: Iterable[Task]) -> tuple[TaskView, ...]:
        """The views of many, at one moment."""
        now = self._clock.now()
        return tuple([self._plain(task, now) for task in tasks])

    def _plain(self, task: Task, now: float) -> TaskView:
        run = self._runs.of(task.id)
        view = self._shown.of(task, run, now)
        if view is None:
            view = self._view(task, None, None, duplicate=False, detail=False)
            self._shown.keep(task, run, now, view)
        return view

    def _view(
        self,
        task: Task,
        result: Result | None,
        attempts: list[AttemptRow] | None,
        *,
        duplicate: bool,
        detail: bool,
    ) -> TaskView:
        status = task.status
        run = self._runs.of(task.id)
        attempt = self._cluster.attempt_of(task) if status.state is State.RUNNING else None
        started = attempt.at if attempt else run.started_at if run else _started(attempts)
        seconds = run.outcome.seconds if run and attempt is None else _seconds(attempts)
        progress = self._progress.get(task.id) if attempt else None
        if result is None and run is not None and status.state is State.SUCCEEDED:
            result = Result(run.outcome.result, run.outcome.result_file, run.outcome.result_size)
        return TaskView(
            id=task.id,
            state=status.state.value,
            call="lease" if task.terms.kind is Kind.LEASE else f"{task.terms.kind.value} {task.terms.target}",
            submitted_at=task.submitted_at,
            name=task.name,
            group=task.group,
            principal=task.terms.principal,
            tags=task.tags,
            priority=status.priority,
            attempt=status.number,
            max_attempts=task.terms.retry.max_attempts,
            why=self.why(task, status),
            reason=status.reason.value if status.reason and status.state not in _GOES_ON else None,
            error=status.error if status.state is not State.RUNNING else "",
            hint=self._hint(task, status),
            deadline=task.deadline if status.state not in FINAL else None,
            progress=progress.fraction if progress else None,
            progress_text=progress.text if progress else "",
            started_at=started if status.state is State.RUNNING or status.state in FINAL else None,
            ended_at=status.at if status.state in FINAL else None,
            seconds=seconds if status.state in FINAL else None,
            **self._times(task, status, attempt),
            eta=None if status.state in FINAL else self.outlook.of(task),
            **_result(result, status),
            duplicate=duplicate,
            rollback=task.extras.rollback,
            undo=task.extras.undo,
            undoes=task.extras.undoes,
            cached_from=task.extras.cached_from,
            cancel_requested=status.cancel_requested and status.state is State.RUNNING,
            after=task.after if detail else (),
            attempts=tuple(_attempt(row) for row in attempts or ()) if detail else (),
        )

    def _times(self, task: Task, status: Status, attempt: Attempt | None) -> dict[str, Any]:
        """What a task waits for, or until when a lease is held, and what its holder has to know."""
        if attempt is not None and task.terms.kind is Kind.LEASE:
            shown = {**self.visibility(attempt.devices), LEASE_VARIABLE: str(attempt.id)} if attempt.devices else None
            return {"due": status.due, "fence": leases.fence(attempt), "variables": shown}
        return {"due": status.due if status.state in (State.SCHEDULED, State.RETRYING) else None}

    def series(self, tally: Tally) -> str:
        """How often a series comes, and where its present occurrence stands."""
        task = self._present(tally)
        if task is None or not task.extras.every:
            return "it has ended"
        times = task.extras.cron or f"every {_period(task.extras.every)}"
        why = self.why(task, task.status)
        return f"{times}; {task.id} {task.status.state}{': ' + why if why else ''}"

    def series_hint(self, tally: Tally) -> str:
        """Whether a series can keep its times, as far as that is to be feared."""
        task = self._present(tally)
        return "" if task is None else self._hint(task, task.status)

    def _present(self, tally: Tally) -> Task | None:
        """The occurrence of a series that has not ended."""
        present = next((name for name, state in reversed(tally.states.items()) if state not in FINAL), "")
        return self._cluster.tasks.get(present)

    def _hint(self, task: Task, status: Status) -> str:
        """What to do about its end; or what is to be feared for its deadline."""
        if status.state is State.FAILED:
            if task.extras.rollback:
                return _HALF_UNDONE if task.extras.rollback == FAILED else _UNDONE
            has_lapsed = task.terms.kind is Kind.LEASE and status.reason is Reason.TIMEOUT
            return _LAPSED if has_lapsed else HINTS.get(status.reason, "") if status.reason else ""
        if status.state in FINAL:
            return self._skipped(task) if status.state is State.SKIPPED else ""
        if task.deadline is None:
            return rates.told(rates.utilisation(self._cluster)) if task.extras.every else ""
        now = self._clock.now()
        if status.state is State.RUNNING:
            return _too_long(task.deadline - now, self.outlook.of(task))
        found = admission(self._cluster, task, now)
        return "" if found is None else advice(found, task, now)

    def _skipped(self, task: Task) -> str:
        """How a skipped task runs after all; "" for a compensation, which had nothing to undo."""
        if task.extras.undoes:
            return ""
        awaited = (self._cluster.tasks.get(name) for name in task.after[:_LOOKED_AT])
        is_undone = any(one is not None and one.extras.rollback for one in awaited)
        return _SKIPPED_FOR_GOOD if is_undone else _SKIPPED

    def why(self, task: Task, status: Status) -> str:
        """What a waiting task waits for, in one line, or why a running one does not go on; "" where nothing is to be
        said."""
        match status.state:
            case State.PENDING:
                return self._why_pending(task)
            case State.SCHEDULED:
                return f"starts in {span(status.due - self._clock.now())}"
            case State.RETRYING:
                wait = max(0.0, status.due - self._clock.now())
                return (
                    f"attempt {status.number + 1} in {wait:.1f} s, after {status.reason}: {_first_line(status.error)}"
                )
            case State.ROLLING_BACK | State.HELD:
                return _PLAIN[status.state]
            case State.QUEUED:
                now = self._clock.now()
                pinned = why_pinned(self._cluster, task, now)
                return why_blocked(task, self._cluster) or pinned or self._why_queued(task)
            case State.RUNNING if status.cancel_requested:
                return "is being stopped"
            case State.RUNNING if AttemptId(task.id, status.number) in self._cluster.slices.told:
                return "paused by time slice; it goes on when its turn comes"
            case State.RUNNING if task.extras.recurs and task.extras.paused:
                return "the next one of its series will be held back"
            case State.RUNNING:
                return copies.why(self._cluster, task, status) or self.hangs(AttemptId(task.id, status.number))
            case _:
                return ""

    def _why_pending(self, task: Task) -> str:
        if task.extras.undoes:
            return f"runs only if {task.extras.saga} fails"
        open_ones = [name for name in task.after if self._is_open(name)]
        if not open_ones:
            return why_behind(task, self._cluster)
        more = f" and {len(open_ones) - _SHOWN} more" if len(open_ones) > _SHOWN else ""
        return f"waits for {', '.join(open_ones[:_SHOWN])}{more}"

    def _why_queued(self, task: Task) -> str:
        if self._cluster.paused:
            return self._cluster.paused
        needs = task.terms.needs
        told_needs = ", ".join(counted(name, amount) for name, amount in needs.amounts) or "nothing"
        if needs.has_devices:
            told_needs += f", {asked(needs)}"
        for room in self._cluster.rooms.values():
            if not room.could_ever_fit(needs):
                continue
            if room.guard and room.is_closed:
                return f"{room.node.name} is {distrust(self._cluster, (room.node.name, ''), self._clock.now())}"
            if room.is_closed:
                return f"the memory of {room.node.name} is {room.strain:.0f} % full; what runs ends first"
            if room.is_beyond(needs) and room.free.get("cpus", 0) > 0:
                return f"needs {told_needs}; {room.node.name} {pool_of(room)}"
            missing = room.missing(needs)
            short = [counted(name, max(0, room.free.get(name, 0))) for name in missing if name != DEVICES]
            if short:
                return f"needs {told_needs}; free now: {', '.join(short)}"
            if missing:
                return f"needs {told_needs}; {why_not(needs, room, self._cluster)}"
            return "others go first"
        return f"needs {told_needs}, more than any node has now"

    def _is_open(self, name: str) -> bool:
        other = self._cluster.tasks.get(name)
        return other is not None and other.status.state not in FINAL


def _period(seconds: float) -> str:
    """In larger units only where they tell all of it."""
    return span(seconds) if seconds % 60 == 0 else f"{seconds:g} s"


def _too_long(left: float, eta: EtaView | None) -> str:
    """What to tell of a running task that will probably not be done in the seconds that are left; "" for others."""
    if eta is None or eta.end <= left:
        return ""
    if left <= 0.0:
        return f"Its deadline has passed. It goes on, and is done in about {eta.end:.3g} s; or cancel it."
    return (
        f"Its deadline in {left:.3g} s will probably be missed: it is done in about {eta.end:.3g} s, 9 times in 10 in"
        f" {eta.end_late:.3g} s. Set a later one, or give it less to do."
    )


def _no_variables(_devices: Sequence[str]) -> Mapping[str, str]:
    """Where nobody looks at devices, no task has any."""
    return {}


def _result(result: Result | None, status: Status) -> dict[str, Any]:
    if status.state is not State.SUCCEEDED or result is None or (result.inline is None and not result.file):
        return {}
    if result.inline is not None and len(result.inline) <= SMALL_RESULT:
        return {"result": json.loads(result.inline), "has_result": True, "result_size": len(result.inline)}
    return {"has_result": True, "result_size": result.size or len(result.inline or b"")}


def _attempt(row: AttemptRow) -> AttemptView:
    return AttemptView(
        number=row.id.number,
        node=row.node,
        started_at=row.started_at,
        ended_at=row.ended_at,
        reason=row.reason.value if row.reason else None,
        error=row.error,
        exit_code=row.exit_code,
        signal=row.signal,
        seconds=row.seconds,
        memory_peak=row.memory_peak,
        stdout_bytes=row.stdout_bytes,
        stderr_bytes=row.stderr_bytes,
        devices=row.devices,
        returned=row.returned,
        device_peak=row.device_peak,
    )


def _started(attempts: list[AttemptRow] | None) -> float | None:
    return telling(attempts).started_at if attempts else None


def _seconds(attempts: list[AttemptRow] | None) -> float | None:
    return telling(attempts).seconds if attempts else None


def telling(attempts: Sequence[AttemptRow]) -> AttemptRow:
    """The attempt that tells how the task has ended: the one that has succeeded, or the last one."""
    done = (row for row in attempts if row.ended_at is not None and row.reason is None and not row.returned)
    return next(done, attempts[-1])


def _first_line(text: str) -> str:
    return text.partition("\n")[0][:200]
