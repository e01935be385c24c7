"""What the use cases have in common: the collaborators, and who is answered from memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

from mcp_scheduler import errors, views
from mcp_scheduler.core.cluster import Cluster
from mcp_scheduler.core.energy import Watts
from mcp_scheduler.core.events import Origin
from mcp_scheduler.core.states import FINAL, State
from mcp_scheduler.core.task import Task
from mcp_scheduler.forecast.book import Book
from mcp_scheduler.policies.catalogue import Policies
from mcp_scheduler.ports import Clock, DeviceWatch, Environment, Functions, Hangs, LoadWatch, Outputs, Sensor, Store
from mcp_scheduler.requests import Caller
from mcp_scheduler.runtime.loop import Loop
from mcp_scheduler.runtime.watch import Watch
from mcp_scheduler.service.compose import Composer
from mcp_scheduler.service.environments import Environments
from mcp_scheduler.service.find import Finder
from mcp_scheduler.service.groups import Groups, Tally
from mcp_scheduler.service.look import Look
from mcp_scheduler.service.ordering import Orderings
from mcp_scheduler.service.snapshots import Snapshots
from mcp_scheduler.settings import Queue

_FAILURES_SHOWN = 5
_MEMBERS_LOOKED_AT = 200
_MEMBERS_ASKED = 8


class Desk:
    """Holds the collaborators of the service."""

    def __init__(
        self,
        *,
        loop: Loop,
        cluster: Cluster,
        store: Store,
        functions: Functions,
        outputs: Outputs,
        sensor: Sensor,
        clock: Clock,
        watch: Watch,
        limits: Queue,
        policies: Policies,
        home: Path,
        snapshots: Snapshots,
        embedded: bool = False,
        gpus: DeviceWatch | None = None,
        load: LoadWatch | None = None,
        books: Mapping[str, Book] | None = None,
        hangs: Hangs | None = None,
        watts: Watts | None = None,
    ) -> None:
        self.environments = Environments(store, functions)
        self.composer = Composer(cluster, store, functions, self.environments, clock, limits)
        self.on_stop: Callable[[], None] = lambda: None
        self.doors: Callable[[], int] = lambda: 0
        self._loop = loop
        self._cluster = cluster
        self._store = store
        self._outputs = outputs
        self._sensor = sensor
        self._clock = clock
        self._watch = watch
        self._limits = limits
        self._policies = policies
        self._home = home
        self._snapshots = snapshots
        self._embedded = embedded
        self._gpus = gpus
        self._load = load
        self._books = books or {"seconds": Book()}
        self._drains: dict[str, float | None] = {}  # device → until when, None: until further notice
        self._drain_end: asyncio.TimerHandle | None = None
        self._drain_ending: asyncio.Task[None] | None = None
        if gpus is not None:
            self.composer.absent = lambda: gpus.absent
        self._watts = watts or Watts()
        self._orderings = Orderings()
        self._one_plan = asyncio.Lock()  # a plan takes a thread for a second or two
        self._started_at = clock.now()
        self._groups = Groups(cluster, store)
        self._find = Finder(cluster, store, self._groups)
        self._look = Look(cluster, loop.progress, clock)
        if gpus is not None:
            self._look.visibility = gpus.visibility
        self._hangs = hangs
        if hangs is not None:
            self._look.hangs = hangs.of
        loop.on_commit += [self._look.committed, self._groups.committed]

    def know(self, environment: Environment) -> None:
        """A door has opened: its functions can be called from now on."""
        self.environments.know(environment)

    async def _already_told(self, caller: Caller) -> list[Task] | None:
        """The tasks of a request that was carried out before its door was cut off; None for a new request."""
        origin = origin_of(caller)
        if origin is None or not caller.resumed:
            return None
        remembered = await self._store.remembered(origin)
        return None if remembered is None else [await self._find.task(caller, name) for name in remembered.tasks]

    def _group(
        self, tally: Tally, caller: Caller, *, keys: dict[str, str] | None = None, tasks: bool = False
    ) -> views.GroupView:
        group = tally.group
        if caller.isolated and group.principal != caller.principal:
            raise errors.UnknownTask(f"There is no task or group '{group.id}'.")
        failed = islice(tally.failed, _FAILURES_SHOWN)
        shown = list(tally.states) if tasks else []
        failures = self._look.tasks(self._at_hand(failed))
        return views.GroupView(
            id=group.id,
            kind=group.kind,
            name=group.name,
            principal=group.principal,
            submitted_at=group.submitted_at,
            size=len(tally.states) if group.kind == "series" else group.size,
            counts={state.value: count for state, count in tally.counts.items() if count},
            state=_group_state(tally),
            failures=failures,
            tasks=self._look.tasks(self._at_hand(shown)),
            keys=keys,
            items=group.items,
            items_done=self._items_done(tally) if group.items else 0,
            stages_done=tally.done(),
            chunk=group.chunk,
            why=self._look.series(tally) if group.kind == "series" else "",
            hint=self._look.series_hint(tally) if group.kind == "series" else skipped_hint(tally, failures),
            eta=None if group.kind == "series" else self._group_eta(tally),  # it has no end
        )

    def _at_hand(self, names: Iterable[str]) -> list[Task]:
        return [task for name in names if (task := self._cluster.tasks.get(name)) is not None]

    def _items_done(self, tally: Tally) -> int:
        """Those that have succeeded in the last stage, and what running chunks of it say of themselves."""
        told = ((self._loop.progress.get(name), size) for name, size in tally.chunks_under_way())
        return tally.items_done + int(sum(size * (one.fraction or 0.0) for one, size in told if one is not None))

    def _group_eta(self, tally: Tally) -> views.EtaView | None:
        """The latest end among its last members that have not ended: what came last ends last, more or less."""
        found: list[views.EtaView] = []
        for name in islice(reversed(tally.states), _MEMBERS_LOOKED_AT if tally.open else 0):
            task = self._cluster.tasks.get(name)
            if task is not None and task.status.state not in FINAL:
                eta = self._look.outlook.of(task)
                if eta is None:
                    return None
                found.append(eta)
                if len(found) == _MEMBERS_ASKED:
                    break
        if not found:
            return None
        return views.EtaView(max(eta.end for eta in found), max(eta.end_late for eta in found))


def origin_of(caller: Caller) -> Origin | None:
    """The name of a request that can be recognised when it comes again."""
    return Origin(caller.door, caller.request) if caller.door and caller.request else None


def skipped_hint(tally: Tally, failures: Sequence[views.TaskView]) -> str:
    """What brings those back that were skipped: to retry one task runs nothing that came after it."""
    if tally.open or not tally.counts[State.SKIPPED]:
        return ""
    if any(one.rollback for one in failures):
        return "What was rolled back is not run again by update_task retry: submit it anew."
    return f"update_task retry with {tally.group.id} runs what failed once more, and what was skipped for it."


def _group_state(tally: Tally) -> str:
    counts = tally.counts
    if tally.open:
        return "held" if tally.counts[State.HELD] == tally.open else "running"
    for state in (State.FAILED, State.CANCELLED, State.SKIPPED):
        if counts[state]:
            return "cancelled" if state is State.CANCELLED else "failed"
    return "succeeded"
