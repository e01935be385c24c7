"""The local executor: runs functions of this host's environments in warm workers, and commands under shims.

Here the attempts are kept account of: which worker has each, which ended and are not settled. Processes are the
pool's business, connections the worker's, what an earlier engine left behind that of `recovery`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

from mcp_scheduler.core.changes import Launch
from mcp_scheduler.core.events import Began, Ended, Event, Outcome, Returned, SlotGone
from mcp_scheduler.core.ids import AttemptId
from mcp_scheduler.core.node import Attempt
from mcp_scheduler.core.states import Reason
from mcp_scheduler.core.task import Kind
from mcp_scheduler.errors import ExecutorUnavailable
from mcp_scheduler.executors.local import burial, ending, records
from mcp_scheduler.executors.local.births import Births
from mcp_scheduler.executors.local.catalogue import Catalogues
from mcp_scheduler.executors.local.commands import Commands
from mcp_scheduler.executors.local.folders import Folders
from mcp_scheduler.executors.local.frozen import Frozen
from mcp_scheduler.executors.local.held import Identity
from mcp_scheduler.executors.local.limits import Limits
from mcp_scheduler.executors.local.links import Message
from mcp_scheduler.executors.local.outcomes import outcome_of
from mcp_scheduler.executors.local.outputs import LocalOutputs
from mcp_scheduler.executors.local.pool import Pool, Visibility, show_gpus
from mcp_scheduler.executors.local.recovery import Recovery
from mcp_scheduler.executors.local.settling import Settling
from mcp_scheduler.executors.local.shim_link import ShimLink
from mcp_scheduler.executors.local.worker import Worker
from mcp_scheduler.ports import Catalogue, Clock, Environment, Progress, Report


class LocalExecutor:
    """Implements `ports.Executor` and `ports.Functions`. One engine at a time uses its folders."""

    def __init__(
        self, folders: Folders, clock: Clock, limits: Limits | None = None, visibility: Visibility = show_gpus
    ) -> None:
        self.tenants: dict[str, str] = {}  # cookie → slot, of all that has devices; other threads read it
        self._folders, self._clock = folders, clock
        self._limits = limits or Limits()
        self._pool = Pool(folders, self._limits, self._never_started, visibility)
        self._outputs = LocalOutputs(folders)
        self._catalogues = Catalogues(self._pool, self)
        self._births = Births()
        self._commands = Commands(folders, self._limits, self._pool, self)
        self._recovery: Recovery | None = None
        self._slots: dict[str, Worker] = {}
        self._where: dict[AttemptId, Worker | ShimLink] = {}
        self.frozen = Frozen(self._where)
        self._settling = Settling(folders.attempts, self._commands.kept, self._pool.spawn)
        self._dirty: dict[Worker, None] = {}
        self._reported: Report | None = None
        self._earlier: dict[AttemptId, str] = {}  # → slot, of attempts with devices that an earlier engine left

    # -- ports.Executor

    async def start(self, report: Report) -> None:
        self._reported = report
        with _folders_used():
            await asyncio.to_thread(self._folders.make)

    async def recover(self, attempts: Sequence[Attempt], terms: Mapping[str, Any]) -> None:  # noqa: ARG002 (the port's; functions need none)
        self._earlier = {attempt.id: attempt.slot for attempt in attempts if attempt.devices}
        rooms = (self._pool, self._commands)
        self._recovery = Recovery(self._folders, self._limits, rooms, self, self.frozen.unheard)
        with _folders_used():
            await self._recovery.run(attempts)

    def launch(self, launch: Launch, payloads: Mapping[AttemptId, bytes]) -> None:
        fresh = [one for one in launch.attempts if one not in self._where and one not in self._settling]
        if not fresh:
            return
        refusal = self._refusal(launch)
        if refusal:
            for attempt in fresh:
                self._end(attempt, Outcome(Reason.REJECTED, refusal))
            if launch.devices:
                self.evict(launch.slot)
            return
        if launch.terms.kind is Kind.COMMAND:
            for attempt in fresh:
                self._launch_command(attempt, launch, payloads[attempt])
            return
        worker = self._slots.get(launch.slot)
        if worker is None or worker.leaving:
            worker = self._worker_for(launch, worker)
            worker.slot = launch.slot
            self._slots[launch.slot] = worker
        extra = _extra(launch)
        for attempt in fresh:
            call = payloads[attempt]
            worker.add(str(attempt), attempt, call[: call.rindex(b"}")] + extra if extra else call)
            self._where[attempt] = worker
        self._flush_soon(worker)

    def flush(self) -> None:
        dirty, self._dirty = self._dirty, {}
        for worker in dirty:
            worker.flush()

    def stop(self, attempt: AttemptId, reason: Reason | None) -> None:
        worker = self._where.get(attempt)
        if worker is not None:
            worker.stop(str(attempt), reason, self._limits.grace)
        elif self._recovery is not None:
            self._recovery.stop(attempt, reason)

    def pause(self, attempt: AttemptId) -> None:
        worker = self._where.get(attempt)
        if worker is not None:
            worker.pause(str(attempt))
        elif self._recovery is not None:
            self._recovery.pause(attempt)

    def proceed(self, attempt: AttemptId) -> None:
        shim = self._where.get(attempt)
        if isinstance(shim, ShimLink):
            shim.proceed(str(attempt))
        elif self._recovery is not None:
            self._recovery.proceed(attempt)

    def recall(self, slot: str) -> None:
        worker = self._slots.get(slot)
        if worker is not None:
            worker.recall()
        else:
            self._commands.recall(slot)

    def evict(self, slot: str) -> None:
        worker = self._slots.get(slot)
        if worker is None:
            self.report(SlotGone(slot))
        elif not worker.window and not worker.leaving:
            self._pool.end(worker)

    def settle(self, attempts: Iterable[AttemptId]) -> None:
        self._settling.settle(attempts)

    async def close(self) -> None:
        self._settling.flush()
        await self._commands.close()
        await self._pool.close()

    # -- ports.Functions

    def know(self, environment: Environment) -> None:
        self._pool.environments[environment.key] = environment

    async def catalogue(self, environment: str) -> Catalogue:
        return await self._catalogues.get(environment)

    # -- worker.Listener

    def hello(self, worker: Worker, told: Message) -> None:
        self._births.spoke(worker)
        if worker.adopted and self._recovery is not None:
            self._recovery.hello(worker, told)

    def began(self, attempt: AttemptId, at: float) -> None:
        self.report(Began(attempt, at))

    def progress(self, attempt: AttemptId, fraction: float | None, text: str) -> None:
        self.report(Progress(attempt, fraction, text, self._clock.now()))

    def ended(self, worker: Worker, ends: list[tuple[AttemptId, Message]]) -> None:
        changed_at = self._outputs.changed_at()
        report = self._reported
        assert report is not None
        for attempt, told in ends:
            outcome, at = outcome_of(told), told["at"]
            if at - outcome.seconds <= changed_at:
                self._outputs.count(attempt, outcome)
            self._where.pop(attempt, None)
            self._settling.reported(attempt, worker)
            report(Ended(attempt, at, outcome))

    def returned(self, attempt: AttemptId) -> None:
        del self._where[attempt]
        self.report(Returned(attempt))

    def emptied(self, worker: Worker) -> None:
        if worker.devices:  # it stays with its slot until somebody else needs the devices
            if worker.adopted and not worker.leaving:
                self._pool.end(worker)
            return
        if worker.slot:
            if self._slots.get(worker.slot) is worker:
                del self._slots[worker.slot]
            worker.slot = ""
            if not worker.leaving:
                self._pool.rest(worker)

    def catalogue_told(self, worker: Worker, told: Message) -> None:
        self._catalogues.told(worker, told)

    def retiring(self, worker: Worker) -> None:
        self._catalogues.lost(worker, "")

    def gone(self, worker: Worker, told: Message | None) -> None:
        self._pool.spawn(self._bury(worker, told))

    # -- commands.CommandKeeper

    def shim_hello(self, shim: ShimLink, told: Message) -> None:
        if self._recovery is not None:
            self._recovery.shim_hello(shim, told)

    def command_ended(self, shim: ShimLink, attempt: AttemptId, told: Message, file: str) -> None:  # noqa: ARG002 (the listener's)
        self._where.pop(attempt, None)
        self._settling.reported(attempt, None)
        self._forget_cookie(attempt)
        if file:
            self._commands.kept.told(str(attempt), file)
        self.report(Ended(attempt, told["at"], outcome_of(told)))

    def shim_heard(self, shim: ShimLink) -> None:
        self._commands.look(shim)

    def missed(self, shim: ShimLink, attempts: list[AttemptId]) -> None:
        self._commands.account(shim, attempts)

    def shim_gone(self, shim: ShimLink) -> None:
        self._pool.spawn(self._bury_shim(shim))

    def cookie_of(self, attempt: AttemptId, launch: Launch) -> str:
        """A new mark for all processes of a command."""
        cookie = f"{attempt}:{secrets.token_hex(8)}"
        if launch.devices:
            self.tenants[cookie] = launch.slot
        return cookie

    def never_began(self, attempt: AttemptId, told: str) -> None:
        self._forget_cookie(attempt)
        self._end(attempt, Outcome(Reason.LOST, told))

    def accounted(self, attempt: AttemptId, record: Message | None, file: str) -> None:
        self._forget_cookie(attempt)
        if file:
            self._commands.kept.told(str(attempt), file)
        if record is not None:
            self._end(attempt, outcome_of(record), record.get("at"))
        else:
            self.returned(attempt)

    # -- for recovery

    def adopt(self, worker: Worker | ShimLink, attempt: Attempt) -> None:
        """This attempt of an earlier engine is with this worker, or under this shim."""
        worker.window[str(attempt.id)] = attempt.id
        self._where[attempt.id] = worker
        cookie = worker.cookie if isinstance(worker, Worker) else Identity.read(worker.berth).cookie
        if attempt.devices:
            self.tenants[cookie] = attempt.slot
        if isinstance(worker, Worker):
            worker.slot, worker.devices = attempt.slot, attempt.devices
            self._slots[attempt.slot] = worker

    def report_record(self, attempt: AttemptId, record: Message, file: str = "") -> None:
        """This attempt ended while no engine listened, or with its worker. `file` has its record among others'."""
        if file:
            self._commands.kept.told(str(attempt), file)
        self._end(attempt, outcome_of(record), record.get("at"))
        self._is_gone(attempt)

    def given_back(self, attempt: AttemptId) -> None:
        """This attempt of an earlier engine never began."""
        self.report(Returned(attempt))
        self._is_gone(attempt)

    def report(self, event: Event | Progress) -> None:
        assert self._reported is not None
        self._reported(event)

    # -- inside

    def _is_gone(self, attempt: AttemptId) -> None:
        """Nobody has this attempt of an earlier engine any more: neither has anybody its slot, if no worker does."""
        slot = self._earlier.pop(attempt, "")
        if slot and slot not in self._slots:
            self.report(SlotGone(slot))

    def _worker_for(self, launch: Launch, before: Worker | None) -> Worker:
        if not launch.devices:
            return self._pool.take(launch.terms.environment, self)
        worker = self._pool.on_devices(launch.terms.environment, launch.devices, before, self)
        self.tenants[worker.cookie] = launch.slot
        return worker

    def _slot_over(self, worker: Worker) -> None:
        """A worker with devices is gone. Its slot is, too, unless another worker has followed."""
        self.tenants.pop(worker.cookie, None)
        if worker.devices and self._slots.get(worker.slot) is worker:
            del self._slots[worker.slot]
            self.report(SlotGone(worker.slot))

    def _forget_cookie(self, attempt: AttemptId) -> None:
        for cookie in [cookie for cookie in self.tenants if cookie.startswith(f"{attempt}:")]:
            del self.tenants[cookie]

    def _refusal(self, launch: Launch) -> str:
        if launch.terms.kind not in (Kind.FUNCTION, Kind.COMMAND):
            return f"This host cannot run a {launch.terms.kind} yet; it runs functions and commands."
        if launch.terms.environment not in self._pool.environments:
            return f"The environment {launch.terms.environment} is not known any more; submit the task again."
        return ""

    def _launch_command(self, attempt: AttemptId, launch: Launch, payload: bytes) -> None:
        environment = self._pool.environments[launch.terms.environment]
        try:
            self._where[attempt] = self._commands.launch(attempt, launch, payload, environment)
        except ValueError as error:
            self._end(attempt, Outcome(Reason.REJECTED, str(error)))

    def _flush_soon(self, worker: Worker) -> None:
        if not self._dirty:
            asyncio.get_running_loop().call_soon(self.flush)
        self._dirty[worker] = None

    def _end(self, attempt: AttemptId, outcome: Outcome, at: float | None = None) -> None:
        """An end that no worker told: its record, if there is one, lies on disk."""
        self._where.pop(attempt, None)
        self._settling.reported(attempt, None)
        self._outputs.count(attempt, outcome)
        self.report(Ended(attempt, self._clock.now() if at is None else at, outcome))

    async def _bury_shim(self, shim: ShimLink) -> None:
        if await self._commands.bury(shim):
            self._settling.flush()
            if self._recovery is not None:
                self._recovery.gone(shim)

    async def _bury(self, worker: Worker, told: Message | None) -> None:
        """The worker is gone: say of each of its attempts what became of it."""
        if told is None:
            told = await burial.bury_at_last(worker.berth, self._folders.attempts, worker.cookie)
        text = self._births.failure(worker, told)
        window, worker.window = worker.window, {}
        unrecorded = told.get("unrecorded", ())
        for name, attempt in window.items():
            held = ending.lost(told["text"]) if name in unrecorded else worker.held.get(name)
            self._account(name, attempt, held, text)
        self._settling.unneeded(worker.acks)
        self._catalogues.lost(worker, text)
        self.emptied(worker)
        self._pool.drop(worker)
        self._slot_over(worker)
        if self._recovery is not None:
            self._recovery.gone(worker)

    def _account(self, name: str, attempt: AttemptId, held: Message | None, failure: str) -> None:
        record = held or records.read(self._folders.attempts, name)
        if record is not None:
            self._end(attempt, outcome_of(record), record.get("at"))
        elif failure:
            self._end(attempt, Outcome(Reason.REJECTED, failure))
        else:
            del self._where[attempt]
            self.report(Returned(attempt))

    def _never_started(self, worker: Worker, reason: str) -> None:
        window, worker.window = worker.window, {}
        for attempt in window.values():
            self._end(attempt, Outcome(Reason.LOST, reason))
        self._catalogues.refused(worker, reason)
        self.emptied(worker)
        self._slot_over(worker)


@contextlib.contextmanager
def _folders_used() -> Generator[None]:
    """What the disk refuses at the start keeps the engine from starting, for a reason that can be read."""
    try:
        yield
    except OSError as error:
        raise ExecutorUnavailable(
            f"The folders of attempts cannot be used: {error}.",
            hint="Free some space, or mend the disk; then try again.",
        ) from error


def _extra(launch: Launch) -> bytes:
    """What the call object itself does not say, as the end of that object."""
    extra: dict[str, Any] = {}
    if launch.terms.timeout is not None:
        extra["timeout"] = launch.terms.timeout
    if launch.devices:
        extra["devices"] = list(launch.devices)
    return b"," + json.dumps(extra).encode()[1:] if extra else b""
